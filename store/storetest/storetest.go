// Package storetest holds an engine to the contract of package store, and to what
// the protocol above it needs: call [Run] from a test of the engine.
//
// The subtests under Store take the methods one by one. Those under Protocol run
// whole sessions over the engine while calls fail, come late and come twice.
// Each subtest is named for the rule that it holds.
package storetest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/milepost-dev/milepost/store"
)

// Engine is what the suite has to know of an engine. Only New must be set; what
// else is nil or zero says that the engine has no such thing.
type Engine struct {
	// New returns an empty store, and sees by t.Cleanup to its closing. The suite asks
	// for few, and uses each for many checkpoints.
	New func(t testing.TB) store.Store

	// Virtual says that the store lives in this process's memory alone and takes the
	// time from time.Now, so that it works in a testing/synctest bubble.
	Virtual bool

	// Damage has, for each damage that a record can suffer in this engine, what
	// does it to one behind the contract's back.
	Damage map[Damage]func(t testing.TB, s store.Store, r Record)

	// Writes returns ways to write beside a commit in s.
	Writes func(t testing.TB, s store.Store) Writes

	// Limit is about the largest record that the engine takes, in bytes.
	Limit int64
}

// Writes are writes of the caller's beside a commit.
type Writes struct {
	Make    func(name string) store.Write // leaves something by that name
	Refused store.Write                   // its own condition never holds
	Made    func(name string) bool        // whether something by that name is there
}

// Run runs the suite.
func Run(t *testing.T, e Engine) {
	t.Run("Store", func(t *testing.T) { runStore(t, e) })
	t.Run("Protocol", func(t *testing.T) { runProtocol(t, e) })
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
	key    store.Key
}

func runStore(t *testing.T, e Engine) {
	s := e.New(t)
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
					r.hold(t, fixture{Store: s, engine: e, key: newKey(r.name)})
				})
			}
		})
	}
}

var keys atomic.Int64

// newKey returns a key of its own, in a namespace of its own.
func newKey(about string) store.Key {
	return store.Key{
		Namespace: fmt.Sprintf("storetest-%d", keys.Add(1)),
		Name:      strings.ReplaceAll(about, "/", " or "),
	}
}
