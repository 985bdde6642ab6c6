//go:build linux

package archive_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

// large is the size of a state that needs two parts of an upload and does not compress.
const large = 9 << 20

// steps stops a process in its n-th request to the table or bucket.
type steps struct {
	mu      sync.Mutex
	seen    int
	at      int // 0: none
	landed  bool
	reached chan string // the request that was reached
}

func (p *place) steps() *steps {
	s := &steps{reached: make(chan string, 1)}
	for what, faults := range map[string]*faulthttp.Transport{"table": p.tableFaults, "bucket": p.bucketFaults} {
		faults.When(func(faulthttp.Request) bool { return s.next() }, func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
			if s.afterLanding() {
				if _, err := send(req.Context()); err != nil {
					return nil, err
				}
			}
			s.reached <- strings.Join([]string{what, req.Method, req.Header.Get("X-Amz-Target"), req.URL.String()}, " ")
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
	}
	return s
}

// next counts a request, and reports whether the process must stop in it.
func (s *steps) next() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	return s.seen == s.at
}

func (s *steps) afterLanding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.landed
}

func (s *steps) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// begin restarts the count at 1.
func (s *steps) begin(at int, landed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.at, s.landed = 0, at, landed
}

func TestAProcessKilledAtAnyStepOfALargeSaveLeavesNoHeadWithoutItsState(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s := p.steps()
	dir := t.TempDir()
	save := func(version int) (args []string, state []byte) {
		state = noise(large, uint64(version))
		path := filepath.Join(dir, "state")
		require.NoError(t, os.WriteFile(path, state, 0o600))
		return []string{"set", "flights", "--cursor", fmt.Sprint(version), "--state", path, "--content-type", "application/octet-stream", "--execute"}, state
	}
	// The number of requests of a save that is not the first.
	args, first := save(1)
	must(t, p.slowly, args...)
	args, second := save(2)
	s.begin(0, false)
	must(t, p.slowly, args...)
	requests := s.count()
	require.Greater(t, requests, 10)
	states := map[string][]byte{"1": first, "2": second} // by cursor

	landed := 0
	for i := range times(t, "MILEPOST_ARCHIVE_KILLS", requests) {
		version := i + 3
		step := 1 + i%requests
		args, state := save(version)
		states[fmt.Sprint(version)] = state
		after := (i+i/requests)%2 == 1
		s.begin(step, after)
		run := start(t, p.slowly, args...)
		at := "the end"
		select {
		case at = <-s.reached:
			run.kill()
		case <-run.done: // background work does not always take the same number of requests
			require.Zero(t, run.exit(), run.stderr())
		}
		head := p.look("flights").Head
		name := fmt.Sprintf("kill %d, in request %d (landed: %v): %s", i+1, step, after, at)
		if head.Cursor == fmt.Sprint(version) {
			landed++
		}
		require.Contains(t, states, head.Cursor, name)
		p.holds(name, states)

		// gc removes what the killed process left, and nothing else.
		if i%5 == 4 {
			p.collects(name)
		}
		for cursor := range states { // states that the test no longer needs in memory
			if cursor != head.Cursor && cursor != fmt.Sprint(version) {
				delete(states, cursor)
			}
		}
	}
	assert.Positive(t, landed, "some kills came after the commit")
	p.collects("the end")
	t.Logf("%d requests a save; %d of the killed ones had landed", requests, landed)

	// Nothing blocks the next save.
	args, state := save(1_000_000)
	must(t, p.env, args...)
	p.holds("the end", map[string][]byte{"1000000": state})
	p.collects("behind the end")
	assert.Len(t, keys(t, p.archive, "body/default/flights/"), int(p.look("flights").Head.Number), "one body for each version, and no other")
}

// holds requires that HEAD points at a complete state.
func (p *place) holds(name string, states map[string][]byte) {
	p.t.Helper()
	cp, err := checkpoint.Namespace{Store: p.store, Archive: p.archive}.Get(p.t.Context(), "flights", nil)
	require.NoError(p.t, err, name)
	r, err := cp.OpenState(p.t.Context(), p.archive)
	require.NoError(p.t, err, name)
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(p.t, err, name)
	require.True(p.t, bytes.Equal(states[cp.Cursor], data), "%s: the state is not the one saved", name)
}

// collects requires that gc leaves exactly the bodies that versions point at, each complete.
func (p *place) collects(name string) {
	p.t.Helper()
	pointed := map[string]bool{}
	key := store.Key{Namespace: store.DefaultNamespace, Name: "flights"}
	head := p.look("flights").Head
	pointed[head.State.Body] = true
	for c, err := range p.store.Versions(p.t.Context(), key, head.Number, 1) {
		require.NoError(p.t, err, name)
		if c.State != nil {
			pointed[c.State.Body] = true
		}
	}
	for object := range keys(p.t, p.archive, "v/default/flights/") {
		pointed[p.bodyOf(object)] = true
	}
	before := keys(p.t, p.archive, "body/default/flights/")
	must(p.t, p.env, "gc", "flights", "--all-homes", "--execute") // the bodies come by way of a proxy
	after := keys(p.t, p.archive, "body/default/flights/")
	for body := range before {
		_, stays := after[body]
		_, id, err := archive.ParseBodyKey(body)
		require.NoError(p.t, err)
		if slow := id.Version == head.Number+1; !slow { // above HEAD the body may belong to a slow save
			assert.Equal(p.t, pointed[body], stays, "%s: %s", name, body)
		}
	}
	for body := range pointed {
		if body != "" {
			assert.Contains(p.t, after, body, name)
		}
	}
}

// bodyOf returns the body that an object of the mirror points at.
func (p *place) bodyOf(object string) string {
	p.t.Helper()
	body, _ := item(p.t, strings.ReplaceAll(p.text(object), "\n", " ")+"\n")["state_body"].(string)
	return body
}

// noise returns n bytes that do not compress, different for each seed.
func noise(size int, seed uint64) []byte {
	data := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
	_, _ = source.Read(data)
	return data
}
