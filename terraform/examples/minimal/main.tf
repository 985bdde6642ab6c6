# A table, a bucket, three policies, alarms and a dashboard, with nothing said.

provider "aws" {
  region = "eu-west-1"
}

module "milepost" {
  source = "../.." # github.com/milepost-dev/milepost//terraform?ref=v1.0.0
}

output "store" {
  description = "For MILEPOST_STORE."
  value       = module.milepost.store_url
}
