package survey

import "github.com/milepost-dev/milepost/store/metered"

// What the monitor emits. CloudWatch gets ages; Prometheus gets times, from which it computes ages.
var (
	Heartbeats  = metered.Instrument{Name: "milepost.monitor.heartbeats", CloudWatch: "MonitorHeartbeat", Kind: metered.Counter, Unit: "{survey}", Description: "Complete surveys of the monitor"}
	Checkpoints = metered.Instrument{Name: "milepost.checkpoints", CloudWatch: "Checkpoints", Kind: metered.Gauge, Unit: "{checkpoint}", Description: "Checkpoints that are saved or expected"}
	Overdues    = metered.Instrument{Name: "milepost.checkpoints.overdue", CloudWatch: "OverdueCheckpoints", Kind: metered.Gauge, Unit: "{checkpoint}", Description: "Checkpoints that were not saved for longer than expected, grace included"}
	Unreadables = metered.Instrument{Name: "milepost.checkpoints.unreadable", CloudWatch: "UnreadableCheckpoints", Kind: metered.Gauge, Unit: "{checkpoint}", Description: "Checkpoints with a damaged record, or one of a newer release"}
	Leases      = metered.Instrument{Name: "milepost.leases.held", CloudWatch: "HeldLeases", Kind: metered.Gauge, Unit: "{lease}", Description: "Leases that are held and have not expired"}

	FailedRuns  = metered.Instrument{Name: "milepost.runs.failed", CloudWatch: "FailuresSinceSave", Kind: metered.Gauge, Unit: "{run}", Description: "Runs that failed since the last save that was not a failure"}
	ArchiveLag  = metered.Instrument{Name: "milepost.archive.lag", CloudWatch: "ArchiveLag", Kind: metered.Gauge, Unit: "s", Description: "Time since the save of the oldest version missing in the mirror; the newest version is not counted"}
	ArchiveGaps = metered.Instrument{Name: "milepost.archive.gaps", CloudWatch: "ArchiveGaps", Kind: metered.Gauge, Unit: "{checkpoint}", Description: "Checkpoints that lost a version before it was mirrored"}

	SaveAge      = metered.Instrument{Name: "milepost.save.age", CloudWatch: "SaveAge", Kind: metered.Gauge, Unit: "s", Description: "Time since the last save, or, for a job that never saved, since the expectation was set"}
	CursorAge    = metered.Instrument{Name: "milepost.cursor.age", CloudWatch: "CursorAge", Kind: metered.Gauge, Unit: "s", Description: "Time since the cursor last changed"}
	RenewalAge   = metered.Instrument{Name: "milepost.lease.renewal.age", CloudWatch: "RenewalAge", Kind: metered.Gauge, Unit: "s", Description: "Time since the lease was renewed, while it is held or its holder died"}
	ProgressRate = metered.Instrument{Name: "milepost.progress.rate", CloudWatch: "ProgressRate", Kind: metered.Gauge, Unit: "{record}/s", Description: "Records a second between the last two saves seen, falling while the next save is awaited"}
	Expectation  = metered.Instrument{Name: "milepost.expectation.ratio", CloudWatch: "ExpectationRatio", Kind: metered.Gauge, Unit: "1", Description: "Time since the last save over the expected time, grace included; above 1 the checkpoint is overdue"}

	SaveTime    = metered.Instrument{Name: "milepost.save.time", CloudWatch: "", Kind: metered.Gauge, Unit: "s", Description: "When the checkpoint was last saved, or its expectation was set, in Unix time"}
	CursorTime  = metered.Instrument{Name: "milepost.cursor.time", CloudWatch: "", Kind: metered.Gauge, Unit: "s", Description: "When the cursor last changed, in Unix time"}
	RenewalTime = metered.Instrument{Name: "milepost.lease.renewal.time", CloudWatch: "", Kind: metered.Gauge, Unit: "s", Description: "When the lease was renewed, while it is held or its holder died, in Unix time"}
)

// Instruments are the instruments of the monitor.
var Instruments = []metered.Instrument{
	Heartbeats, Checkpoints, Overdues, Unreadables, Leases,
	FailedRuns, ArchiveLag, ArchiveGaps,
	SaveAge, CursorAge, RenewalAge, ProgressRate, Expectation,
	SaveTime, CursorTime, RenewalTime,
}
