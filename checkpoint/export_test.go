package checkpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/faultstore"
	"github.com/milepost-dev/milepost/store/memstore"
)

func (r *rig) exported(a archive.Archive, opts *checkpoint.ExportOptions) []byte {
	r.Helper()
	var out bytes.Buffer
	x := checkpoint.NewExporter(&out)
	_, err := x.Add(r.Context(), both(r.inner, a), name, opts)
	require.NoError(r, err)
	require.NoError(r, x.Close())
	return out.Bytes()
}

func imported(ctx context.Context, into checkpoint.Namespace, data []byte, opts *checkpoint.ImportOptions) (all []*checkpoint.ImportResult, errs []error) {
	for done, err := range into.Import(ctx, bytes.NewReader(data), opts) {
		all = append(all, done)
		if err != nil {
			errs = append(errs, err)
		}
	}
	return all, errs
}

func historyOf(t testing.TB, st store.Store, a archive.Archive) (all []*checkpoint.Checkpoint) {
	t.Helper()
	for cp, err := range both(st, a).History(t.Context(), name, nil) {
		require.NoError(t, err)
		all = append(all, cp)
	}
	return all
}

// odd makes versions with all that a version can hold.
func (r *rig) odd(a archive.Archive) {
	r.Helper()
	o := &checkpoint.Options{Identity: "input <1> & \u2028", Schema: 3, Interval: time.Hour}
	s, err := checkpoint.Open[json.RawMessage](r.Context(), both(r.inner, a), name, o)
	require.NoError(r, err)
	for i, state := range []string{
		`{"n": 9223372036854775807, "x": 1e400, "y": 0.10}`, "null", " [ ]\n", `"<>&` + "\u2028" + `"`, "0", `{"text":"` + noise(1_100_000) + `"}`, `{"small":1}`,
	} {
		time.Sleep(time.Minute + 123456*time.Microsecond)
		require.NoError(r, s.Save(r.Context(), fmt.Sprintf("cursor <%d> \x00é", i), json.RawMessage(state)))
	}
	_, ok := s.Start("holds the mark back")
	require.True(r, ok)
	above, ok := s.Start("finished above it")
	require.True(r, ok)
	above.Done(nil)
	require.NoError(r, s.Close(r.Context(), errors.New("it went wrong \xff")))
	_, err = in(r.inner).Pin(r.Context(), name, 3, "a savepoint", nil)
	require.NoError(r, err)
}

func TestACheckpointGoesFromOneStoreToAnotherAndIsTheSame(t *testing.T) {
	for what, archives := range map[string][2]archive.Archive{
		"from and to an archive": {newMemory(), newMemory()}, "without": {nil, nil}, "into an archive": {nil, newMemory()}, "out of one": {newMemory(), nil},
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				r.odd(archives[0])
				data := r.exported(archives[0], nil)
				for line := range strings.Lines(string(data)) {
					require.Less(r, len(line), 1<<20)
				}
				into := memstore.New(nil)
				opts := &checkpoint.ImportOptions{DryRun: true, Reason: "moved"}
				plan, errs := imported(r.Context(), both(into, archives[1]), data, opts)
				require.Empty(r, errs)
				require.Len(r, plan, 1)
				assert.Equal(r, int64(8), plan[0].Versions)
				_, err := in(into).Get(r.Context(), name, nil)
				require.ErrorIs(r, err, store.ErrNotFound)

				opts.DryRun = false
				done, errs := imported(r.Context(), both(into, archives[1]), data, opts)
				require.Empty(r, errs)
				assert.Equal(r, int64(8), done[0].Versions)
				assert.Equal(r, int64(8), done[0].Newest.Number)

				want, got := historyOf(r, r.inner, archives[0]), historyOf(r, into, archives[1])
				require.Equal(r, versions(want), versions(got))
				for i := range want {
					assert.Equal(r, want[i].Number, got[i].RestoredFrom)
					assert.Equal(r, "moved", got[i].Reason)
					assert.Equal(r, content(r, want[i], archives[0]), content(r, got[i], archives[1]))
				}
				s, err := checkpoint.Open[json.RawMessage](r.Context(), checkpoint.Namespace{Store: into, Archive: archives[1]}, name, &checkpoint.Options{
					Identity: "input <1> & \u2028", Schema: 3,
				})
				require.NoError(r, err)
				assert.Equal(r, `{"small":1}`, string(s.State()))
				assert.Equal(r, want[0].Cursor, s.Cursor())
				_, fresh := s.Start("finished above it")
				assert.False(r, fresh, "what was finished out of order goes along")
				r.closed(s)
			})
		})
	}
}

// content is all that an import takes over.
func content(t testing.TB, cp *checkpoint.Checkpoint, a archive.Archive) string {
	t.Helper()
	state := "none"
	if cp.StateSize > 0 || cp.State != nil {
		data, err := cp.OpenState(t.Context(), a)
		require.NoError(t, err)
		defer data.Close()
		var all bytes.Buffer
		_, err = all.ReadFrom(data)
		require.NoError(t, err)
		state = all.String()
	}
	label := cp.Label
	return fmt.Sprintf("%d %v %q %v %d %d %q %q %d %q %q %q %q", cp.Number, cp.SavedAt, cp.Cursor, cp.Finished, cp.Processed, cp.Failed,
		cp.LastError, cp.Identity, cp.Schema, cp.Ended, label, cp.ContentType, state)
}

func TestAnExportHasWhatOnlyTheArchiveHas(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(a, 8, nil)
		r.expire(1, 5)
		assert.Equal(r, 3+1, bytes.Count(r.exported(nil, nil), []byte("\n")))
		assert.Equal(r, 8, bytes.Count(r.exported(a, nil), []byte(`"cursor"`)))
		assert.Equal(r, 1, bytes.Count(r.exported(a, &checkpoint.ExportOptions{Newest: true}), []byte(`"cursor"`)))
		x := checkpoint.NewExporter(io.Discard)
		_, err := x.Add(r.Context(), in(r.inner), "none", nil)
		require.ErrorIs(r, err, store.ErrNotFound)
		r.On("Look", 0, faultstore.Throttle)
		_, err = x.Add(r.Context(), in(r.Store), name, nil)
		require.Error(r, err)
		require.ErrorIs(r, x.Close(), err, "an export that failed has no end")
	})
}

func TestAnImportIsMadeUnderTheLeaseAndOverNothingThatIsThere(t *testing.T) {
	over(t, func(r *rig) {
		r.saves(nil, 3, nil)
		data := r.exported(nil, nil)
		into := memstore.New(nil)
		held, err := lease.Acquire(r.Context(), into, key, nil)
		require.NoError(r, err)
		_, errs := imported(r.Context(), in(into), data, nil)
		require.Len(r, errs, 1)
		require.ErrorIs(r, errs[0], lease.ErrHeld)
		require.NoError(r, held.Release(r.Context()))
		_, errs = imported(r.Context(), in(into), data, nil)
		require.Empty(r, errs)

		// It is there already: nothing to do.
		again, errs := imported(r.Context(), in(into), data, nil)
		require.Empty(r, errs)
		assert.Zero(r, again[0].Versions)
		assert.Equal(r, int64(3), again[0].Present)

		// A job has gone on: it is not overwritten.
		s, err := checkpoint.Open[big](r.Context(), in(into), name, nil)
		require.NoError(r, err)
		r.closed(s)
		_, errs = imported(r.Context(), in(into), data, nil)
		require.Len(r, errs, 1)
		require.ErrorIs(r, errs[0], checkpoint.ErrRefused)
		_, errs = imported(r.Context(), in(into), data, &checkpoint.ImportOptions{DryRun: true})
		require.Len(r, errs, 1)
		require.ErrorIs(r, errs[0], checkpoint.ErrRefused)
	})
}

func TestAnImportThatWasInterruptedGoesOnWhereItStood(t *testing.T) {
	over(t, func(r *rig) {
		r.minutes(nil, 6)
		data := r.exported(nil, nil)
		into := memstore.New(nil)
		dying := faultstore.New(into)
		dying.On("Commit", 4, faultstore.Fail(fmt.Errorf("%w: %w", store.ErrNoTable, store.ErrNotApplied)))
		_, errs := imported(r.Context(), in(dying), data, nil)
		require.Len(r, errs, 1)
		require.ErrorContains(r, errs[0], "import version 4")
		done, errs := imported(r.Context(), in(into), data, nil)
		require.Empty(r, errs)
		assert.Equal(r, int64(3), done[0].Present)
		assert.Equal(r, int64(3), done[0].Versions)
		assert.Equal(r, upTo(6), reversed(versions(historyOf(r, into, nil))))
	})
}

func reversed(all []int64) (back []int64) {
	for i := len(all) - 1; i >= 0; i-- {
		back = append(back, all[i])
	}
	return back
}

func TestOneCheckpointThatCannotBeImportedDoesNotKeepTheOthersOut(t *testing.T) {
	over(t, func(r *rig) {
		var data bytes.Buffer
		names := []string{"a", "b", "c"}
		for _, n := range names {
			s, err := checkpoint.Open[big](r.Context(), in(r.inner), n, nil)
			require.NoError(r, err)
			require.NoError(r, s.Save(r.Context(), "1", big{Text: noise(600_000)}))
			r.closed(s)
			x := checkpoint.NewExporter(&data)
			_, err = x.Add(r.Context(), in(r.inner), n, nil)
			require.NoError(r, err)
			require.NoError(r, x.Close())
		}
		into := memstore.New(nil)
		s, err := checkpoint.Open[big](r.Context(), in(into), "b", nil)
		require.NoError(r, err)
		r.closed(s)
		all, errs := imported(r.Context(), in(into), data.Bytes(), nil)
		require.Len(r, all, 3)
		require.Len(r, errs, 1)
		assert.ErrorIs(r, errs[0], checkpoint.ErrRefused)
		for i, n := range names {
			assert.Equal(r, n, all[i].Name)
			cp, err := in(into).Get(r.Context(), n, nil)
			require.NoError(r, err)
			assert.Equal(r, n != "b", cp.Cursor == "1")
		}

		// Another namespace is another checkpoint.
		all, errs = imported(r.Context(), checkpoint.Namespace{Store: into, Name: "other"}, data.Bytes(), nil)
		require.Empty(r, errs)
		assert.Equal(r, "other", all[0].Namespace)
	})
}

func TestALineThatCannotBeReadEndsTheImportWithItsNumber(t *testing.T) {
	over(t, func(r *rig) {
		r.minutes(nil, 2)
		s, err := checkpoint.Open[big](r.Context(), in(r.inner), name, nil)
		require.NoError(r, err)
		require.NoError(r, s.Save(r.Context(), "parts", big{Text: noise(1_100_000)}))
		r.closed(s)
		lines := strings.SplitAfter(string(r.exported(nil, nil)), "\n")
		require.Greater(r, len(lines), 6)
		for what, c := range map[string]struct {
			spoil func([]string) []string
			is    error
			says  string
		}{
			"no JSON":          {func(l []string) []string { l[1] = "{\n"; return l }, store.ErrBadRecord, "line 2"},
			"a newer format":   {func(l []string) []string { l[1] = strings.Replace(l[1], `"fmt":1`, `"fmt":2`, 1); return l }, store.ErrNewerFormat, "line 2"},
			"no format":        {func(l []string) []string { l[1] = strings.Replace(l[1], `"fmt":1,`, "", 1); return l }, store.ErrBadRecord, "line 2"},
			"an unknown field": {func(l []string) []string { l[1] = strings.Replace(l[1], `"fmt":1`, `"fmt":1,"x":1`, 1); return l }, store.ErrBadRecord, "line 2"},
			"a wrong type": {func(l []string) []string {
				l[1] = strings.Replace(l[1], `"processed":0`, `"processed":"0"`, 1)
				return l
			}, store.ErrBadRecord, "line 2"},
			"a bad name":      {func(l []string) []string { l[0] = strings.Replace(l[0], name, "../x", 1); return l }, store.ErrName, "line 1"},
			"a part missing":  {func(l []string) []string { return append(l[:4:4], l[5:]...) }, store.ErrBadRecord, "line 5"},
			"the end cut off": {func(l []string) []string { return l[:5] }, store.ErrBadRecord, "parts of a state are missing"},
			"a part changed": {func(l []string) []string {
				l[4] = strings.Replace(l[4], `"data":"`, `"data":"AAAA`, 1)
				return l
			}, store.ErrBadRecord, "sha256"},
		} {
			spoilt := strings.Join(c.spoil(append([]string(nil), lines...)), "")
			for _, dry := range []bool{true, false} {
				all, errs := imported(r.Context(), in(memstore.New(nil)), []byte(spoilt), &checkpoint.ImportOptions{DryRun: dry})
				require.Len(r, errs, 1, what)
				require.ErrorIs(r, errs[0], c.is, what)
				require.ErrorContains(r, errs[0], c.says, what)
				require.Nil(r, all[len(all)-1], what)
			}
		}
	})
}

func TestAHistoryFromElsewhereIsImportedVersionByVersion(t *testing.T) {
	over(t, func(r *rig) {
		from := func(yield func(*checkpoint.Checkpoint, error) bool) {
			for v := int64(1); v <= 5; v++ {
				cp := &checkpoint.Checkpoint{State: []byte(`{"n":1}`)}
				cp.Number, cp.Cursor, cp.Processed, cp.SavedAt = v, fmt.Sprint(v), v*10, time.Unix(v*1000, 0)
				if !yield(cp, nil) {
					return
				}
			}
		}
		done, err := in(r.inner).ImportVersions(r.Context(), name, from, nil)
		require.NoError(r, err)
		assert.Equal(r, int64(5), done.Versions)
		cp, err := in(r.inner).Get(r.Context(), name, &checkpoint.ReadOptions{At: time.Unix(3500, 0)})
		require.NoError(r, err)
		assert.Equal(r, "3", cp.Cursor)
		again, err := in(r.inner).ImportVersions(r.Context(), name, from, nil)
		require.NoError(r, err)
		assert.Equal(r, int64(5), again.Present)

		broken := func(yield func(*checkpoint.Checkpoint, error) bool) {
			yield(nil, fmt.Errorf("the source: %w", store.ErrUnavailable))
		}
		_, err = in(r.inner).ImportVersions(r.Context(), "other", broken, nil)
		require.ErrorIs(r, err, store.ErrUnavailable)
		for what, cp := range map[string]*checkpoint.Checkpoint{
			"no number":               {},
			"a state that is no JSON": {Version: store.Version{Number: 1}, State: []byte("{")},
			"an end that is none":     {Version: store.Version{Number: 1, Ended: "burnt"}},
			"counts below zero":       {Version: store.Version{Number: 1, Content: store.Content{Failed: -1}}},
		} {
			_, err := in(r.inner).ImportVersions(r.Context(), "bad", func(yield func(*checkpoint.Checkpoint, error) bool) { yield(cp, nil) }, nil)
			require.ErrorIs(r, err, store.ErrBadRecord, what)
		}
	})
}

func TestAnImportOfWhatTheStoreHasLostIsRefused(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 3)
		data := r.exported(a, nil)
		r.lose()
		_, errs := imported(r.Context(), both(r.inner, a), data, nil)
		require.Len(r, errs, 1)
		require.ErrorIs(r, errs[0], checkpoint.ErrRefused)
		require.ErrorContains(r, errs[0], "restore")
	})
}

func TestAnExportThatWasCutShortIsNone(t *testing.T) {
	over(t, func(r *rig) {
		r.minutes(nil, 4)
		one := string(r.exported(nil, nil))
		lines := strings.SplitAfter(one, "\n")
		require.JSONEq(r, `{"fmt":1,"end":{"checkpoints":1,"versions":4}}`, lines[4])
		cut := strings.Join(lines[:3], "")
		for what, c := range map[string]struct {
			data string
			is   error
			says string
		}{
			"the end missing":        {cut, io.ErrUnexpectedEOF, "line 4"},
			"half a line":            {cut + lines[3][:40], io.ErrUnexpectedEOF, "line 4"},
			"nothing":                {"", io.ErrUnexpectedEOF, "line 1"},
			"a version missing":      {cut + lines[4], store.ErrBadRecord, "had 4 versions of 1 checkpoints, and 3 of 1 are here"},
			"more behind the end":    {one + lines[0], io.ErrUnexpectedEOF, "line 7"},
			"an end of other fields": {strings.Replace(one, `"end":{`, `"end":{"x":1,`, 1), store.ErrBadRecord, "line 5"},
			"a version that ends":    {strings.Replace(one, `{"fmt":1,`, `{"fmt":1,"end":{"checkpoints":0,"versions":0},`, 1), store.ErrBadRecord, "line 1"},
		} {
			into := memstore.New(nil)
			for _, dry := range []bool{true, false} {
				_, errs := imported(r.Context(), in(into), []byte(c.data), &checkpoint.ImportOptions{DryRun: dry})
				require.Len(r, errs, 1, what)
				require.ErrorIs(r, errs[0], c.is, what)
				require.ErrorContains(r, errs[0], c.says, what)
			}
			found, err := into.Look(r.Context(), key)
			require.NoError(r, err)
			require.Nil(r, found.Head, "%s: nothing was made of it", what)
		}

		// Out of a pipe it is learned at the end, and an import of the whole goes on behind what is there.
		into := memstore.New(nil)
		var errs []error
		for _, err := range in(into).Import(r.Context(), iotest.OneByteReader(strings.NewReader(cut)), nil) {
			errs = append(errs, err)
		}
		require.ErrorIs(r, errors.Join(errs...), io.ErrUnexpectedEOF)
		assert.Len(r, historyOf(r, into, nil), 3)
		done, errs := imported(r.Context(), in(into), []byte(one), nil)
		require.Empty(r, errs)
		assert.Equal(r, [2]int64{3, 1}, [2]int64{done[0].Present, done[0].Versions})

		// What there is, for who says so; and two exports put together are one.
		for _, there := range []string{cut, cut + lines[3][:40]} {
			done, errs = imported(r.Context(), in(memstore.New(nil)), []byte(there), &checkpoint.ImportOptions{Partial: true})
			require.Empty(r, errs)
			assert.Equal(r, int64(3), done[0].Versions)
		}
		done, errs = imported(r.Context(), in(memstore.New(nil)), []byte(one+strings.ReplaceAll(one, name, "other")), nil)
		require.Empty(r, errs)
		require.Len(r, done, 2)
		assert.Equal(r, "other", done[1].Name)
	})
}
