mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  namespaces    = ["billing", "search"]
  alarm_actions = ["arn:aws:sns:eu-west-1:123456789012:on-call"]
}

run "each_namespace_has_its_alarms" {
  assert {
    condition = output.alarm_names == tolist(sort(concat(["milepost-throttles"], [
      for pair in setproduct(["billing", "search"], ["archive-gaps", "failures", "heartbeat", "losses", "overdue"]) : "milepost-${pair[0]}-${pair[1]}"
    ])))
    error_message = "The alarms are ${join(", ", output.alarm_names)}."
  }

  assert {
    condition     = alltrue([for key, alarm in aws_cloudwatch_metric_alarm.namespace : alarm.dimensions == tomap({ Namespace = split("/", key)[0] }) && alarm.namespace == "Milepost"])
    error_message = "An alarm watches another series."
  }
}

run "a_dead_monitor_is_alarmed_by_its_silence" {
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.namespace["billing/heartbeat"].treat_missing_data == "breaching" &&
      aws_cloudwatch_metric_alarm.namespace["billing/heartbeat"].comparison_operator == "LessThanThreshold" &&
      aws_cloudwatch_metric_alarm.namespace["billing/heartbeat"].threshold == 1
    )
    error_message = "Nobody learns of a dead monitor."
  }

  assert {
    condition     = alltrue([for key, alarm in aws_cloudwatch_metric_alarm.namespace : alarm.treat_missing_data != "breaching" if !endswith(key, "/heartbeat")])
    error_message = "An alarm other than the heartbeat's goes off when nothing runs."
  }
}

run "each_alarm_calls_and_names_what_mends_it" {
  assert {
    condition = alltrue([for key, alarm in aws_cloudwatch_metric_alarm.namespace :
      endswith(alarm.alarm_description, "docs/operations.md#${split("/", key)[1]}") &&
      alarm.alarm_actions == toset(var.alarm_actions) && alarm.ok_actions == toset(var.alarm_actions)
    ])
    error_message = "An alarm calls nobody, or does not say where to look."
  }

  assert {
    condition     = endswith(aws_cloudwatch_metric_alarm.throttles[0].alarm_description, "docs/operations.md#throttles") && aws_cloudwatch_metric_alarm.throttles[0].alarm_actions == toset(var.alarm_actions)
    error_message = "The alarm on throttles calls nobody, or does not say where to look."
  }
}

run "the_dashboard_shows_the_table_and_every_namespace" {
  assert {
    condition = alltrue([for text in ["\"TableName\",\"milepost\"", "\"OverdueCheckpoints\",\"Namespace\",\"billing\"", "\"OverdueCheckpoints\",\"Namespace\",\"search\"", "\"region\":\"eu-west-1\""] :
      strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, text)
    ])
    error_message = "The dashboard lacks something."
  }
}

run "alarms_and_dashboard_can_be_left_out" {
  variables {
    alarms    = false
    dashboard = false
  }

  assert {
    condition     = length(output.alarm_names) == 0 && length(aws_cloudwatch_dashboard.this) == 0
    error_message = "There are some."
  }
}
