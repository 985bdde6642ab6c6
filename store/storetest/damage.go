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
	Name    string // [store.RecordHead], [store.RecordLease] or a [store.CopyRecord]
	Version int64  // of a copy; 0: it is not a copy
}

// Damage is a reason why a record cannot be trusted.
type Damage string

// The damages. The rest of the record stays as it was.
const (
	NewerFormat    Damage = "is of a newer format"
	UnknownField   Damage = "has an unknown field"
	WrongType      Damage = "has an epoch that is not a number" // in a copy, the commit's epoch
	WithoutVersion Damage = "has no version"                    // HEAD only
	NegativeCount  Damage = "has a negative count"              // HEAD and copies only: processed is -1
)

// damagedRecord says what must hold for one record damaged in one way.
type damagedRecord struct {
	record Record // without its key
	damage Damage
	reads  []string // methods that must fail with the record's name
	writes []string // methods that must be refused, and leave the record as it is
	loads  []string // methods that may write, but must fail with the record's name
}

var (
	headReads, leaseReads, copyReads = []string{"Look", "Peek"}, []string{"Look", "Peek"}, []string{"Version", "Versions"}
	leaseWrites                      = []string{"Renew", "Want", "Release", "Acquire", "Steal"}
	raises                           = []string{"Raise", "Raise without create"}
)

var (
	theHead  = Record{Name: store.RecordHead}
	theLease = Record{Name: store.RecordLease}
	theCopy  = Record{Name: store.CopyRecord(1), Version: 1}
)

var damagedRecords = []damagedRecord{
	{theHead, NewerFormat, headReads, append([]string{"Commit", "Unlist"}, raises...), nil},
	{theHead, WrongType, headReads, append([]string{"Commit"}, raises...), nil},
	{theHead, WithoutVersion, headReads, append([]string{"Commit"}, raises...), nil},
	{theHead, UnknownField, headReads, nil, raises},
	{theHead, NegativeCount, headReads, nil, raises},
	{theLease, NewerFormat, leaseReads, leaseWrites, nil},
	{theLease, WrongType, leaseReads, leaseWrites, nil},
	{theLease, UnknownField, leaseReads, nil, nil},
	{theCopy, NewerFormat, copyReads, []string{"Copy", "KeepBase", "KeepBase of a later line", "Amend", "Remove"}, nil},
	{theCopy, WrongType, copyReads, []string{"Copy", "KeepBase of a later line"}, nil},
	{theCopy, UnknownField, copyReads, nil, nil},
	{theCopy, NegativeCount, copyReads, nil, nil},
}

func damageRules(e Engine) []rule {
	var rules []rule
	for _, d := range damagedRecords {
		if damage := e.Damage[d.damage]; damage != nil {
			rules = append(rules, rule{"a " + d.kind() + " that " + string(d.damage), func(t *testing.T, f fixture) {
				f.ready(t)
				r := d.record
				r.Key = f.key
				damage(t, f.Store, r)
				d.isDistrusted(t, f)
			}})
		}
	}
	return rules
}

// kind says what sort of record is damaged.
func (d damagedRecord) kind() string {
	if d.record.Version > 0 {
		return "copy"
	}
	return d.record.Name
}

func (d damagedRecord) isDistrusted(t *testing.T, f fixture) {
	t.Helper()
	want := store.ErrBadRecord
	if d.damage == NewerFormat {
		want = store.ErrNewerFormat
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
			require.Equal(t, d.record.Name, bad.Record)
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
