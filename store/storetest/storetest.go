// Package storetest holds an engine to the contract of package store: call [Run] from a test of the
// engine. Only package store and the engine run here, so a failure is the engine's.
//
// There is a group of subtests for each method. Each subtest has the name of the rule that it
// tests.
package storetest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

// Engine is what the suite has to know of an engine. Only New must be set. Any other field that is
// nil or zero says that the engine has no such thing.
type Engine struct {
	// New returns an empty store, and closes it by t.Cleanup. The suite uses one store for many
	// checkpoints.
	New func(t testing.TB) store.Store

	// Damage has a function for each damage that a record can suffer in this engine. The function
	// damages one record without a method of the contract.
	Damage map[Damage]func(t testing.TB, s store.Store, r Record)

	// Writes returns writes that a commit to s can have.
	Writes func(t testing.TB, s store.Store) Writes

	// Limit is about the largest record that the engine takes, in bytes.
	Limit int64
}

// Writes are the caller's own writes in a commit.
type Writes struct {
	Make    func(name string) store.Write // makes a write that leaves something with that name
	Refused store.Write                   // a write whose condition never holds
	Made    func(name string) bool        // reports whether something with that name exists
}

// Run runs the suite.
func Run(t *testing.T, e Engine) {
	s := e.New(t)
	now, err := s.Look(t.Context(), newKey("the store's clock"))
	require.NoError(t, err)
	for _, method := range []struct {
		name  string
		rules []rule
	}{
		{"Look", lookRules}, {"Acquire", acquireRules}, {"Steal", stealRules}, {"Raise", raiseRules},
		{"Renew", renewRules}, {"Release", releaseRules}, {"Want", wantRules},
		{"Commit", commitRules}, {"Commit with writes", writesRules(e)}, {"Unlist", unlistRules}, {"A state in an archive", bodyRules},
		{"Copy", copyRules}, {"KeepBase", keepBaseRules}, {"Amend", amendRules}, {"Remove", removeRules},
		{"Version", versionRules}, {"Versions", versionsRules},
		{"Expect", expectRules}, {"Names", namesRules}, {"Peek", peekRules},
		{"Races", raceRules}, {"Every method", everyMethodRules}, {"Damaged records", damageRules(e)},
	} {
		t.Run(method.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range method.rules {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					r.hold(t, fixture{Store: s, engine: e, clock: now.Clock, key: newKey(r.name)})
				})
			}
		})
	}
}

// rule is one subtest.
type rule struct {
	name string
	hold func(t *testing.T, f fixture)
}

// fixture is a store, and a checkpoint in it that no other subtest uses.
type fixture struct {
	store.Store
	engine Engine
	clock  store.Clock // a reading of the store's own
	key    store.Key
}

var keys atomic.Int64

// newKey returns a key that no other subtest uses, in a namespace that none uses.
func newKey(about string) store.Key {
	return store.Key{
		Namespace: fmt.Sprintf("storetest-%d", keys.Add(1)),
		Name:      strings.ReplaceAll(about, "/", " or "),
	}
}
