// Command costs writes docs/costs.md from the prices below and from what a save sends, which the
// test measures:
//
//	go run ./test/costs > docs/costs.md
package main

// Public prices of AWS in us-east-1, in dollars, without free tiers, discounts and tax.
const (
	pricesAsOf = "September 2026"

	writeUnits    = 0.625 / 1e6 // DynamoDB on demand, standard class
	readUnits     = 0.125 / 1e6
	tableStorage  = 0.25 // per GiB and month
	recovery      = 0.20 // point-in-time recovery, per GiB of the table and month
	puts          = 0.005 / 1000
	bucketStorage = 0.023 // S3 Standard, for a GiB and month
	alarms        = 0.10  // per alarm and month
)

const (
	kib   = 1 << 10
	gib   = 1 << 30
	month = 30 * 24 * 3600 // seconds
)

// Assumptions about a checkpoint.
const (
	aroundState  = 512 // bytes of an item in addition to the state: keys, cursor, identity, holder, counts, hash
	inlineLimit  = 4 << 10
	mirrorObject = 1 << 10 // bytes of a mirrored version in addition to its state
	beatEvery    = 5       // seconds
	monitorReads = 1.5     // read units per checkpoint and survey, for three records of up to 4 KiB each
)

// save is what one save sends and stores.
type save struct {
	writeUnits int64
	puts       int64
	tableBytes int64 // of the version's copy
	bodyBytes  int64 // in the bucket
}

// saveOf returns the cost of saving a state of a stored size. The item is written twice: as HEAD,
// and as the version's copy.
func saveOf(state int64, archive, mirrored bool) save {
	var s save
	inline := state
	if archive && state > inlineLimit {
		inline, s.puts, s.bodyBytes = 0, 1, state
	}
	if mirrored {
		s.puts += 2 // the version's object, and latest.json
		s.bodyBytes += mirrorObject + inline
	}
	item := aroundState + inline
	s.writeUnits, s.tableBytes = 2*((item+kib-1)/kib), item
	return s
}

// monthly returns the cost of a number of saves a second, in dollars a month.
func (s save) monthly(perSecond float64) (writes, kept, archive float64) {
	saves := perSecond * month
	writes = saves * float64(s.writeUnits) * writeUnits
	kept = saves * float64(s.tableBytes) / gib * (tableStorage + recovery) // versions are kept for 30 days
	archive = saves * (float64(s.puts)*puts + float64(s.bodyBytes)/gib*bucketStorage)
	return writes, kept, archive
}
