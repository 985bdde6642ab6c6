package survey

import "github.com/milepost-dev/milepost/store/metered"

// What the monitor emits. Ages go to CloudWatch; Prometheus gets times instead, from which it makes ages itself.
var (
	Heartbeats  = metered.Instrument{Name: "milepost.monitor.heartbeats", CloudWatch: "MonitorHeartbeat", Kind: metered.Counter, Unit: "{look}", Description: "Looks of the monitor that were complete"}
	Checkpoints = metered.Instrument{Name: "milepost.checkpoints", CloudWatch: "Checkpoints", Kind: metered.Gauge, Unit: "{checkpoint}", Description: "Checkpoints that are saved or expected"}
	Overdues    = metered.Instrument{Name: "milepost.checkpoints.overdue", CloudWatch: "OverdueCheckpoints", Kind: metered.Gauge, Unit: "{checkpoint}", Description: "Checkpoints that were not saved for longer than is expected of them, grace included"}
	Unreadables = metered.Instrument{Name: "milepost.checkpoints.unreadable", CloudWatch: "UnreadableCheckpoints", Kind: metered.Gauge, Unit: "{checkpoint}", Description: "Checkpoints with a record that is damaged, or of a newer release"}
	Leases      = metered.Instrument{Name: "milepost.leases.held", CloudWatch: "HeldLeases", Kind: metered.Gauge, Unit: "{lease}", Description: "Leases that are held and have not run out"}

	FailedRuns  = metered.Instrument{Name: "milepost.runs.failed", CloudWatch: "FailuresSinceSave", Kind: metered.Gauge, Unit: "{run}", Description: "Runs that came to nothing since the last save that was no failure"}
	ArchiveLag  = metered.Instrument{Name: "milepost.archive.lag", CloudWatch: "ArchiveLag", Kind: metered.Gauge, Unit: "s", Description: "Time since the oldest version was saved that the mirror lacks; the newest version is not counted"}
	ArchiveGaps = metered.Instrument{Name: "milepost.archive.gaps", CloudWatch: "ArchiveGaps", Kind: metered.Gauge, Unit: "{checkpoint}", Description: "Checkpoints of which a version expired before it was mirrored"}

	SaveAge      = metered.Instrument{Name: "milepost.save.age", CloudWatch: "SaveAge", Kind: metered.Gauge, Unit: "s", Description: "Time since the last save; of a job that never saved, since that is expected"}
	CursorAge    = metered.Instrument{Name: "milepost.cursor.age", CloudWatch: "CursorAge", Kind: metered.Gauge, Unit: "s", Description: "Time since the cursor last changed"}
	RenewalAge   = metered.Instrument{Name: "milepost.lease.renewal.age", CloudWatch: "RenewalAge", Kind: metered.Gauge, Unit: "s", Description: "Time since the lease was renewed, while it is held or its holder died"}
	ProgressRate = metered.Instrument{Name: "milepost.progress.rate", CloudWatch: "ProgressRate", Kind: metered.Gauge, Unit: "{record}/s", Description: "Records a second between the last two saves that were seen, less as the next one stays out"}
	Expectation  = metered.Instrument{Name: "milepost.expectation.ratio", CloudWatch: "ExpectationRatio", Kind: metered.Gauge, Unit: "1", Description: "Time since the last save over what is expected, grace included; above 1 it is overdue"}

	SaveTime    = metered.Instrument{Name: "milepost.save.time", CloudWatch: "", Kind: metered.Gauge, Unit: "s", Description: "When it was last saved, or is expected since, in Unix time"}
	CursorTime  = metered.Instrument{Name: "milepost.cursor.time", CloudWatch: "", Kind: metered.Gauge, Unit: "s", Description: "When the cursor last changed, in Unix time"}
	RenewalTime = metered.Instrument{Name: "milepost.lease.renewal.time", CloudWatch: "", Kind: metered.Gauge, Unit: "s", Description: "When the lease was renewed, while it is held or its holder died, in Unix time"}
)

// Instruments are what the monitor has.
var Instruments = []metered.Instrument{
	Heartbeats, Checkpoints, Overdues, Unreadables, Leases,
	FailedRuns, ArchiveLag, ArchiveGaps,
	SaveAge, CursorAge, RenewalAge, ProgressRate, Expectation,
	SaveTime, CursorTime, RenewalTime,
}
