data "aws_region" "current" {}

locals {
  # In the order in which a person on call looks.
  charts = concat(
    [
      { title = "Overdue checkpoints", stat = "Maximum", metrics = [local.metrics.overdue] },
      { title = "Heartbeats of the monitor", stat = "Sum", metrics = [local.metrics.heartbeat] },
      { title = "Saves, and saves that failed", stat = "Sum", metrics = [local.metrics.saves, local.metrics.save_failures] },
      { title = "Leases lost", stat = "Sum", metrics = [local.metrics.lease_losses] },
      { title = "Records processed, and failed", stat = "Sum", metrics = [local.metrics.processed, local.metrics.failed] },
      { title = "Time of a save, p99", stat = "p99", metrics = [local.metrics.save_latency] },
      { title = "Checkpoints, and leases held", stat = "Maximum", metrics = [local.metrics.checkpoints, local.metrics.held] },
      { title = "Requests of jobs that were throttled", stat = "Sum", metrics = [local.metrics.throttles] },
    ],
    [for chart in [
      { title = "Time by which the mirror lags, and its gaps", stat = "Maximum", metrics = [local.metrics.archive_lag, local.metrics.archive_gaps] },
    ] : chart if var.archive],
  )

  table_charts = [
    { title = "Capacity used", stat = "Sum", metrics = ["ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"] },
    { title = "Requests throttled by DynamoDB", stat = "Sum", metrics = ["ReadThrottleEvents", "WriteThrottleEvents"] },
  ]

  series = concat(
    [for chart in local.charts : merge(chart, {
      metrics = [for pair in setproduct(chart.metrics, sort(var.namespaces)) : [local.metrics.namespace, pair[0], local.metrics.dimension, pair[1]]]
    })],
    [for chart in local.table_charts : merge(chart, {
      metrics = [for metric in chart.metrics : ["AWS/DynamoDB", metric, "TableName", var.name]]
    })],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for i, chart in local.series : {
      type   = "metric"
      x      = i % 2 * 12
      y      = floor(i / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = chart.title
        stat    = chart.stat
        period  = 300
        region  = data.aws_region.current.region
        metrics = chart.metrics
      }
    }]
  })
}
