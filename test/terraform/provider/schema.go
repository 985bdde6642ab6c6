package main

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

//go:embed schema/schema.json
var facts []byte

// published is what schema/generate.mjs writes.
type published struct {
	Resources   map[string]block `json:"resources"`
	DataSources map[string]block `json:"data_sources"`
}

type block struct {
	Attributes map[string]attribute `json:"attributes"`
	Blocks     map[string]nested    `json:"blocks"`
}

type nested struct {
	block
	Nesting string `json:"nesting"` // list, set or single
	Min     int64  `json:"min"`
	Max     int64  `json:"max"` // 0: as many as one likes
}

type attribute struct {
	Type     kind `json:"type"`
	Required bool `json:"required"`
	Optional bool `json:"optional"`
	Computed bool `json:"computed"`
}

// kind is a type as Terraform writes it in JSON: "string", or ["list", "string"].
type kind struct{ tftypes.Type }

var primitives = map[string]tftypes.Type{
	"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool, "dynamic": tftypes.DynamicPseudoType,
}

func (k *kind) UnmarshalJSON(data []byte) error {
	var name string
	if json.Unmarshal(data, &name) == nil {
		k.Type = primitives[name]
		if k.Type == nil {
			return fmt.Errorf("unknown type %q", name)
		}
		return nil
	}
	var of string
	var element kind
	if err := json.Unmarshal(data, &[]any{&of, &element}); err != nil {
		return err
	}
	switch of {
	case "list":
		k.Type = tftypes.List{ElementType: element.Type}
	case "set":
		k.Type = tftypes.Set{ElementType: element.Type}
	case "map":
		k.Type = tftypes.Map{ElementType: element.Type}
	default:
		return fmt.Errorf("unknown collection %q", of)
	}
	return nil
}

func readFacts() (*published, error) {
	var p published
	if err := json.Unmarshal(facts, &p); err != nil {
		return nil, fmt.Errorf("read schema.json: %w", err)
	}
	return &p, nil
}

func schemas(blocks map[string]block) map[string]*tfprotov6.Schema {
	all := map[string]*tfprotov6.Schema{}
	for name, b := range blocks {
		all[name] = &tfprotov6.Schema{Block: b.schema()}
	}
	return all
}

func (b block) schema() *tfprotov6.SchemaBlock {
	out := &tfprotov6.SchemaBlock{}
	for name, a := range b.Attributes {
		out.Attributes = append(out.Attributes, &tfprotov6.SchemaAttribute{
			Name: name, Type: a.Type.Type, Required: a.Required, Optional: a.Optional, Computed: a.Computed,
		})
	}
	nestings := map[string]tfprotov6.SchemaNestedBlockNestingMode{
		"list":   tfprotov6.SchemaNestedBlockNestingModeList,
		"set":    tfprotov6.SchemaNestedBlockNestingModeSet,
		"single": tfprotov6.SchemaNestedBlockNestingModeSingle,
	}
	for name, n := range b.Blocks {
		out.BlockTypes = append(out.BlockTypes, &tfprotov6.SchemaNestedBlock{
			TypeName: name, Block: n.schema(), Nesting: nestings[n.Nesting], MinItems: n.Min, MaxItems: n.Max,
		})
	}
	return out
}
