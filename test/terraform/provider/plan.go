package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// provider answers what validate, plan, apply and terraform test ask of a
// configuration that was never applied before. The interface it embeds is nil: any
// other request ends the process.
type provider struct {
	tfprotov6.ProviderServer
	*published
}

// settings are the arguments of the provider itself that the examples use.
var settings = &tfprotov6.Schema{Block: &tfprotov6.SchemaBlock{
	Attributes: []*tfprotov6.SchemaAttribute{{Name: "region", Type: tftypes.String, Optional: true}},
}}

func (p *provider) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	return &tfprotov6.GetMetadataResponse{}, nil
}

func (p *provider) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	return &tfprotov6.GetProviderSchemaResponse{
		Provider: settings, ResourceSchemas: schemas(p.Resources), DataSourceSchemas: schemas(p.DataSources),
	}, nil
}

// GetResourceIdentitySchemas is asked by Terraform from 1.12 on.
func (p *provider) GetResourceIdentitySchemas(context.Context, *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov6.GetResourceIdentitySchemasResponse{}, nil
}

func (p *provider) ValidateProviderConfig(_ context.Context, r *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: r.Config}, nil
}

// ValidateResourceConfig refuses a value for what the service alone decides, which
// Terraform leaves to the provider.
func (p *provider) ValidateResourceConfig(_ context.Context, r *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	b := p.Resources[r.TypeName]
	config, err := r.Config.Unmarshal(b.schema().ValueType())
	if err != nil {
		return nil, fmt.Errorf("validate %s: %w", r.TypeName, err)
	}
	var fields map[string]tftypes.Value
	if err := config.As(&fields); err != nil {
		return nil, fmt.Errorf("validate %s: %w", r.TypeName, err)
	}
	var response tfprotov6.ValidateResourceConfigResponse
	for name, a := range b.Attributes {
		if a.Computed && !a.Optional && !fields[name].IsNull() {
			response.Diagnostics = append(response.Diagnostics, &tfprotov6.Diagnostic{
				Severity:  tfprotov6.DiagnosticSeverityError,
				Summary:   "Value for unconfigurable attribute",
				Detail:    fmt.Sprintf("Can't configure a value for %q: its value will be decided automatically.", name),
				Attribute: tftypes.NewAttributePath().WithAttributeName(name),
			})
		}
	}
	return &response, nil
}

func (p *provider) ValidateDataResourceConfig(context.Context, *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return &tfprotov6.ValidateDataResourceConfigResponse{}, nil
}

func (p *provider) ConfigureProvider(context.Context, *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	return &tfprotov6.ConfigureProviderResponse{}, nil
}

func (p *provider) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

// PlanResourceChange plans what is asked for. What the service would fill in is
// not known before it is applied.
func (p *provider) PlanResourceChange(_ context.Context, r *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	planned, err := fill(p.Resources[r.TypeName], r.ProposedNewState, func(_ string, of tftypes.Type) tftypes.Value {
		return tftypes.NewValue(of, tftypes.UnknownValue)
	})
	if err != nil {
		return nil, fmt.Errorf("plan %s: %w", r.TypeName, err)
	}
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: planned}, nil
}

// account is what the data sources tell of where they are.
var account = map[string]string{
	"account_id": "123456789012", "partition": "aws", "dns_suffix": "amazonaws.com", "region": "eu-west-1", "name": "eu-west-1",
}

// ReadDataSource answers for an account that does not exist.
func (p *provider) ReadDataSource(_ context.Context, r *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	state, err := fill(p.DataSources[r.TypeName], r.Config, func(name string, of tftypes.Type) tftypes.Value {
		if text, ok := account[name]; ok && of.Is(tftypes.String) {
			return tftypes.NewValue(of, text)
		}
		return tftypes.NewValue(of, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.TypeName, err)
	}
	return &tfprotov6.ReadDataSourceResponse{State: state}, nil
}

// fill gives every computed attribute that is null at the top of an object a value.
func fill(b block, object *tfprotov6.DynamicValue, value func(name string, of tftypes.Type) tftypes.Value) (*tfprotov6.DynamicValue, error) {
	of := b.schema().ValueType()
	v, err := object.Unmarshal(of)
	if err != nil || v.IsNull() { // null: it is to be destroyed
		return object, err
	}
	var fields map[string]tftypes.Value
	if err := v.As(&fields); err != nil {
		return nil, err
	}
	for name, a := range b.Attributes {
		if a.Computed && fields[name].IsNull() {
			fields[name] = value(name, a.Type.Type)
		}
	}
	filled, err := tfprotov6.NewDynamicValue(of, tftypes.NewValue(of, fields))
	return &filled, err
}
