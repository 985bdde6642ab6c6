package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// arns are what the services call what they make, by the argument that names it.
var arns = map[string]struct{ format, name string }{
	"aws_cloudwatch_log_group":     {"arn:aws:logs:eu-west-1:123456789012:log-group:%s", "name"},
	"aws_cloudwatch_metric_alarm":  {"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:%s", "alarm_name"},
	"aws_dynamodb_table":           {"arn:aws:dynamodb:eu-west-1:123456789012:table/%s", "name"},
	"aws_iam_policy":               {"arn:aws:iam::123456789012:policy/%s", "name"},
	"aws_iam_role":                 {"arn:aws:iam::123456789012:role/%s", "name"},
	"aws_lambda_function":          {"arn:aws:lambda:eu-west-1:123456789012:function:%s", "function_name"},
	"aws_s3_bucket":                {"arn:aws:s3:::%s", "bucket"},
	"aws_scheduler_schedule_group": {"arn:aws:scheduler:eu-west-1:123456789012:schedule-group/%s", "name"},
	"aws_sns_topic":                {"arn:aws:sns:eu-west-1:123456789012:%s", "name"},
}

// ApplyResourceChange says that all was made as planned, and fills in what a
// service would.
func (p *provider) ApplyResourceChange(_ context.Context, r *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	b := p.Resources[r.TypeName]
	of := b.schema().ValueType()
	planned, err := r.PlannedState.Unmarshal(of)
	if err != nil {
		return nil, fmt.Errorf("apply %s: %w", r.TypeName, err)
	}
	if planned.IsNull() {
		return &tfprotov6.ApplyResourceChangeResponse{NewState: r.PlannedState}, nil
	}
	var fields map[string]tftypes.Value
	if err := planned.As(&fields); err != nil {
		return nil, fmt.Errorf("apply %s: %w", r.TypeName, err)
	}
	for name, a := range b.Attributes {
		if fields[name].IsKnown() {
			continue
		}
		fields[name] = tftypes.NewValue(a.Type.Type, nil)
		if a.Type.Is(tftypes.String) {
			fields[name] = tftypes.NewValue(a.Type.Type, invented(r.TypeName, name, fields))
		}
	}
	made, err := tfprotov6.NewDynamicValue(of, tftypes.NewValue(of, fields))
	return &tfprotov6.ApplyResourceChangeResponse{NewState: &made}, err
}

// invented is a text that a service might have filled in.
func invented(resource, name string, fields map[string]tftypes.Value) string {
	switch name {
	case "arn":
		if arn, ok := arns[resource]; ok {
			return fmt.Sprintf(arn.format, known(fields, arn.name, "bucket_prefix"))
		}
	case "id", "bucket":
		if text := known(fields, "bucket", "bucket_prefix", "name", "alarm_name", "function_name"); text != "" {
			return text
		}
	}
	return "some-" + name
}

// known is the first of these arguments that is known and not null.
func known(fields map[string]tftypes.Value, names ...string) string {
	for _, name := range names {
		var text string
		if v, ok := fields[name]; ok && v.IsKnown() && !v.IsNull() && v.As(&text) == nil {
			return text
		}
	}
	return ""
}
