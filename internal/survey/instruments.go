package survey

import "github.com/milepost-dev/milepost/checkpoint/metrics"

// What the monitor emits. CloudWatch gets ages; Prometheus gets times, from which it computes ages.
var (
	Heartbeats  = metrics.Instrument{Name: "milepost.monitor.heartbeats", CloudWatch: "MonitorHeartbeat", Kind: metrics.Counter, Unit: "{survey}", Description: "Complete surveys of the monitor"}
	Checkpoints = metrics.Instrument{Name: "milepost.checkpoints", CloudWatch: "Checkpoints", Kind: metrics.Gauge, Unit: "{checkpoint}", Description: "Checkpoints that are saved or expected"}
	Overdues    = metrics.Instrument{Name: "milepost.checkpoints.overdue", CloudWatch: "OverdueCheckpoints", Kind: metrics.Gauge, Unit: "{checkpoint}", Description: "Checkpoints that were not saved for longer than expected, grace included"}
	Unreadables = metrics.Instrument{Name: "milepost.checkpoints.unreadable", CloudWatch: "UnreadableCheckpoints", Kind: metrics.Gauge, Unit: "{checkpoint}", Description: "Checkpoints with a damaged record, or one of a newer release"}
	Leases      = metrics.Instrument{Name: "milepost.leases.held", CloudWatch: "HeldLeases", Kind: metrics.Gauge, Unit: "{lease}", Description: "Leases that are held and have not expired"}

	FailedRuns  = metrics.Instrument{Name: "milepost.runs.failed", CloudWatch: "FailuresSinceSave", Kind: metrics.Gauge, Unit: "{run}", Description: "Runs that failed since the last save that was not a failure"}
	ArchiveLag  = metrics.Instrument{Name: "milepost.archive.lag", CloudWatch: "ArchiveLag", Kind: metrics.Gauge, Unit: "s", Description: "Time since the save of the oldest version missing in the mirror; the newest version is not counted"}
	ArchiveGaps = metrics.Instrument{Name: "milepost.archive.gaps", CloudWatch: "ArchiveGaps", Kind: metrics.Gauge, Unit: "{checkpoint}", Description: "Checkpoints that lost a version before it was mirrored"}

	SaveAge      = metrics.Instrument{Name: "milepost.save.age", CloudWatch: "SaveAge", Kind: metrics.Gauge, Unit: "s", Description: "Time since the last save, or, for a job that never saved, since the expectation was set"}
	CursorAge    = metrics.Instrument{Name: "milepost.cursor.age", CloudWatch: "CursorAge", Kind: metrics.Gauge, Unit: "s", Description: "Time since the cursor last changed"}
	RenewalAge   = metrics.Instrument{Name: "milepost.lease.renewal.age", CloudWatch: "RenewalAge", Kind: metrics.Gauge, Unit: "s", Description: "Time since the lease was renewed, while it is held or its holder died"}
	ProgressRate = metrics.Instrument{Name: "milepost.progress.rate", CloudWatch: "ProgressRate", Kind: metrics.Gauge, Unit: "{record}/s", Description: "Records a second between the last two saves seen, falling while the next save is awaited"}
	Expectation  = metrics.Instrument{Name: "milepost.expectation.ratio", CloudWatch: "ExpectationRatio", Kind: metrics.Gauge, Unit: "1", Description: "Time since the last save over the expected time, grace included; above 1 the checkpoint is overdue"}

	SaveTime    = metrics.Instrument{Name: "milepost.save.time", CloudWatch: "", Kind: metrics.Gauge, Unit: "s", Description: "When the checkpoint was last saved, or its expectation was set, in Unix time"}
	CursorTime  = metrics.Instrument{Name: "milepost.cursor.time", CloudWatch: "", Kind: metrics.Gauge, Unit: "s", Description: "When the cursor last changed, in Unix time"}
	RenewalTime = metrics.Instrument{Name: "milepost.lease.renewal.time", CloudWatch: "", Kind: metrics.Gauge, Unit: "s", Description: "When the lease was renewed, while it is held or its holder died, in Unix time"}
)

// Instruments are the instruments of the monitor.
var Instruments = []metrics.Instrument{
	Heartbeats, Checkpoints, Overdues, Unreadables, Leases,
	FailedRuns, ArchiveLag, ArchiveGaps,
	SaveAge, CursorAge, RenewalAge, ProgressRate, Expectation,
	SaveTime, CursorTime, RenewalTime,
}
