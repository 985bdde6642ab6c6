package agent

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/memstore"
)

func TestAnEmptyCursorAfterAnotherIsWrongUsageAndTheSessionGoesOn(t *testing.T) {
	c, st := startAgent(t)
	session := c.open("a")
	c.call("save", `"session":%v,"cursor":"x"`, session)
	c.send(`{"method":"mark","session":%v,"cursor":""}`, session)
	reply := c.next()
	require.NotNil(t, reply["error"], "%v", reply)
	assert.Equal(t, "usage", reply["error"].(map[string]any)["kind"])
	assert.Contains(t, reply["error"].(map[string]any)["error"], "milepost reset")
	c.send(`{"id":"s","method":"save","session":%v,"cursor":"","processed":1}`, session)
	assert.NotNil(t, c.next()["error"])
	c.call("save", `"session":%v,"cursor":"y"`, session)
	c.call("close", `"session":%v`, session)
	require.NoError(t, c.end())
	assert.Equal(t, "y", newest(t, st, "a").Cursor)
}

func TestARecordInHandAtACloseIsAnError(t *testing.T) {
	c, st := startAgent(t)
	session := c.open("a")
	c.call("start", `"session":%v,"cursor":"1"`, session)
	c.call("start", `"session":%v,"cursor":"2"`, session)
	c.send(`{"method":"finish","session":%v,"cursor":"1"}`, session)
	c.send(`{"id":"c","method":"close","session":%v,"state":{"sum":1}}`, session)
	reply := c.next()
	require.NotNil(t, reply["error"], "%v", reply)
	assert.Contains(t, reply["error"].(map[string]any)["error"], `"2"`)
	require.NoError(t, c.end())
	cp := newest(t, st, "a")
	assert.Equal(t, "1", cp.Cursor)
	assert.Equal(t, store.EndedError, cp.Ended)
	assert.JSONEq(t, `{"sum":1}`, string(cp.State), "a state that comes without a cursor is no record of its own")
	assert.Empty(t, cp.Finished)
}

// resumed shares a session that resumed the state {"sum":1} at cursor 5.
func resumed(t *testing.T, keepState bool) (*memstore.Store, *Shared, *Client) {
	t.Helper()
	st := memstore.New(nil)
	cursor := "5"
	_, err := checkpoint.Namespace{Store: st}.Set(t.Context(), "a", checkpoint.Content{Cursor: &cursor, State: []byte(`{"sum":1}`)}, nil)
	require.NoError(t, err)
	shared, _ := shareKeeping(t, st, keepState)
	c, err := Dial(socketOf(t, shared))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return st, shared, c
}

func TestACommandThatIgnoresTheStateMovesAwayFromItOnlyIfToldTo(t *testing.T) {
	next := "6"
	for what, test := range map[string]struct {
		keep   bool
		before func(*Client) error
		mark   Progress
		want   string // "": it is refused
	}{
		"it ignores the state":  {mark: Progress{Cursor: &next}},
		"--keep-state":          {keep: true, mark: Progress{Cursor: &next}, want: `{"sum":1}`},
		"it has read the state": {before: func(c *Client) error { _, err := c.State(); return err }, mark: Progress{Cursor: &next}, want: `{"sum":1}`},
		"it brings a state":     {mark: Progress{Cursor: &next, State: []byte(`{"sum":2}`)}, want: `{"sum":2}`},
		"it has saved a state":  {before: func(c *Client) error { _, err := c.Save(Progress{State: []byte(`{"sum":3}`)}); return err }, mark: Progress{Cursor: &next}, want: `{"sum":3}`},
	} {
		t.Run(what, func(t *testing.T) {
			st, shared, c := resumed(t, test.keep)
			if test.before != nil {
				require.NoError(t, test.before(c))
			}
			err := c.Mark(test.mark)
			if test.want == "" {
				require.ErrorIs(t, err, checkpoint.ErrRefused)
				assert.Equal(t, "refused", kinds.Of(err).Name)
				assert.ErrorContains(t, err, "--keep-state")
				another, err := Dial(socketOf(t, shared)) // the next call of the command
				require.NoError(t, err)
				defer another.Close()
				_, err = another.Save(test.mark)
				require.ErrorIs(t, err, checkpoint.ErrRefused)
			} else {
				require.NoError(t, err)
			}
			require.NoError(t, shared.Close(nil))
			cp := newest(t, st, "a")
			if test.want == "" {
				assert.Equal(t, "5", cp.Cursor)
				return
			}
			assert.Equal(t, next, cp.Cursor)
			assert.JSONEq(t, test.want, string(cp.State))
		})
	}
}
