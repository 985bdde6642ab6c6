// Command provider stands in for Terraform's AWS provider where that cannot be
// installed. It serves the schema of the resources that the module and its examples
// use (schema/schema.json), so that terraform validate finds what is misspelt, of
// a wrong type or missing. It plans and applies, so that what the module would make
// can be looked at, and makes nothing.
package main

import (
	"log"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

func main() {
	served, err := readFacts()
	if err != nil {
		log.Fatal(err)
	}
	err = tf6server.Serve("hashicorp/aws", func() tfprotov6.ProviderServer { return &provider{published: served} })
	if err != nil {
		log.Fatal(err)
	}
}
