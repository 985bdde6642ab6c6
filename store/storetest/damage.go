package storetest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// Record names one record of a store.
type Record struct {
	Key     store.Key
	Kind    string // HEAD, LEASE or V#
	Version int64  // of V#
}

// Damage is a way in which a record cannot be trusted.
type Damage string

// The damages. All of the record but what they name stays as it was.
const (
	NewerFormat    Damage = "is of a newer format"
	UnknownField   Damage = "has a field that nobody knows"
	WrongType      Damage = "has an epoch that is no number" // in V#, the commit's epoch
	WithoutVersion Damage = "has no version"                 // HEAD only
	NegativeCount  Damage = "has a negative count"           // HEAD and V# only: processed is -1
)

// damagedRecord says what must hold for one record damaged in one way.
type damagedRecord struct {
	kind   string
	damage Damage
	reads  []string // must fail with the record's name
	writes []string // must be refused, and leave the record as it is
	loads  []string // write, but must not take what they read for sound
}

var (
	headReads, leaseReads, copyReads = []string{"Look", "Peek"}, []string{"Look", "Peek"}, []string{"Version", "Versions"}
	leaseWrites                      = []string{"Renew", "Want", "Release", "Acquire", "Steal"}
	raises                           = []string{"Raise", "Raise without create"}
)

var damagedRecords = []damagedRecord{
	{"HEAD", NewerFormat, headReads, append([]string{"Commit", "Unlist"}, raises...), nil},
	{"HEAD", WrongType, headReads, append([]string{"Commit"}, raises...), nil},
	{"HEAD", WithoutVersion, headReads, append([]string{"Commit"}, raises...), nil},
	{"HEAD", UnknownField, headReads, nil, raises},
	{"HEAD", NegativeCount, headReads, nil, raises},
	{"LEASE", NewerFormat, leaseReads, leaseWrites, nil},
	{"LEASE", WrongType, leaseReads, leaseWrites, nil},
	{"LEASE", UnknownField, leaseReads, nil, nil},
	{"V#", NewerFormat, copyReads, []string{"Copy", "KeepBase", "KeepBase of a later line", "Amend", "Remove"}, nil},
	{"V#", WrongType, copyReads, []string{"Copy", "KeepBase of a later line"}, nil},
	{"V#", UnknownField, copyReads, nil, nil},
	{"V#", NegativeCount, copyReads, nil, nil},
}

func damageRules(e Engine) []rule {
	var rules []rule
	for _, d := range damagedRecords {
		if damage := e.Damage[d.damage]; damage != nil {
			rules = append(rules, rule{"a " + d.kind + " that " + string(d.damage), func(t *testing.T, f fixture) {
				f.ready(t)
				r := Record{Key: f.key, Kind: d.kind}
				if d.kind == "V#" {
					r.Version = 1
				}
				damage(t, f.Store, r)
				d.isDistrusted(t, f)
			}})
		}
	}
	return rules
}

func (d damagedRecord) isDistrusted(t *testing.T, f fixture) {
	t.Helper()
	want := store.ErrBadRecord
	if d.damage == NewerFormat {
		want = store.ErrNewerFormat
	}
	record := d.kind
	if d.kind == "V#" {
		record = "V#00000000000000000001"
	}
	each := func(calls []call, names []string, check func(name string, err error)) {
		for _, c := range calls {
			if slices.Contains(names, c.name) {
				check(c.name, c.make(t.Context()))
			}
		}
	}
	readsFail := func(after string) {
		each(f.reads(), d.reads, func(name string, err error) {
			require.ErrorIs(t, err, want, "%s after %s", name, after)
			var bad *store.BadRecordError
			require.ErrorAs(t, err, &bad, "%s names the record", name)
			require.Equal(t, record, bad.Record)
			require.Equal(t, f.key, bad.Key)
		})
	}
	readsFail("the damage")
	writes := slices.Concat(f.headWrites(), f.leaseWrites(), f.copyWrites())
	each(writes, d.writes, func(name string, err error) {
		require.ErrorIs(t, err, want, name)
		require.ErrorIs(t, err, store.ErrNotApplied, "%s must not write over it", name)
		readsFail(name)
	})
	each(writes, d.loads, func(name string, err error) {
		require.ErrorIs(t, err, want, name)
		readsFail(name)
	})
}
