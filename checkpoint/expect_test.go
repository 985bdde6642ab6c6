package checkpoint_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive/dirarchive"
	"github.com/milepost-dev/milepost/store/faultstore"
)

func (r *rig) expected() *store.Expectation {
	r.Helper()
	found, err := r.inner.Look(r.Context(), key)
	require.NoError(r, err)
	return found.Expect
}

// declares opens a session that declares what is expected, and returns what that logged and how often it wrote it.
func (r *rig) declares(e checkpoint.Expectation) (logged string, writes int) {
	r.Helper()
	var log bytes.Buffer
	before := len(r.Calls("Expect"))
	s := r.open(&checkpoint.Options{
		Expect: e, Logger: slog.New(slog.NewTextHandler(&log, nil)), Lease: lease.Options{Holder: store.Holder{ID: "nightly@etl-7"}},
	})
	s.Mark("x", nil)
	r.done(s)
	return log.String(), len(r.Calls("Expect")) - before
}

func TestWhatAJobDeclaresIsKeptByItsOpeningAndWrittenWhenItDiffers(t *testing.T) {
	over(t, func(r *rig) {
		daily := checkpoint.Expectation{Every: 24 * time.Hour, Grace: 2 * time.Hour}
		_, writes := r.declares(daily)
		assert.Equal(r, 1, writes)
		first := r.expected()
		require.NotNil(r, first)
		assert.Equal(r, checkpoint.Expectation{Every: first.Every, Grace: first.Grace}, daily)
		assert.Equal(r, "job nightly@etl-7", first.SetBy)
		assert.WithinDuration(r, time.Now(), first.SetAt, time.Minute)

		time.Sleep(time.Hour)
		_, writes = r.declares(daily)
		assert.Zero(r, writes, "it is there")
		assert.Equal(r, r.expected(), first, "it does not begin anew")

		_, writes = r.declares(checkpoint.Expectation{})
		assert.Zero(r, writes)
		assert.Equal(r, r.expected(), first, "a job that declares nothing leaves it")

		for _, every := range []time.Duration{time.Hour, 48 * time.Hour} { // a job's own word, stricter or not
			_, writes = r.declares(checkpoint.Expectation{Every: every})
			assert.Equal(r, 1, writes)
			assert.Equal(r, every, r.expected().Every)
			assert.Zero(r, r.expected().Grace)
		}
	})
}

func TestWhatAPersonHasSaidStaysUnlessAJobIsToldToOverride(t *testing.T) {
	over(t, func(r *rig) {
		theirs := &store.Expectation{Every: time.Hour, SetBy: "maria@laptop", SetAt: time.Now()}
		require.NoError(r, r.inner.Expect(r.Context(), key, nil, theirs))
		daily := checkpoint.Expectation{Every: 24 * time.Hour}
		logged, writes := r.declares(daily)
		assert.Zero(r, writes)
		assert.Equal(r, theirs.Every, r.expected().Every)
		assert.Contains(r, logged, "maria@laptop")

		daily.Override = true
		logged, writes = r.declares(daily)
		assert.Equal(r, 1, writes)
		assert.Equal(r, daily.Every, r.expected().Every)
		assert.Empty(r, logged)
	})
}

func TestAJobRunsThoughWhatIsExpectedOfItCannotBeKept(t *testing.T) {
	over(t, func(r *rig) {
		r.On("Expect", 0, faultstore.Throttle)
		logged, _ := r.declares(checkpoint.Expectation{Every: time.Hour})
		assert.Contains(r, logged, "was not set")
		assert.Nil(r, r.expected())
		assert.Equal(r, int64(1), r.get().Number)
		r.Clear()
		_, writes := r.declares(checkpoint.Expectation{Every: time.Hour})
		assert.Equal(r, 1, writes, "the next session does")
	})
}

func TestAnExpectationThatCannotBeIsRefusedBeforeTheLeaseIsTaken(t *testing.T) {
	over(t, func(r *rig) {
		for _, e := range []checkpoint.Expectation{
			{Every: -time.Hour}, {Every: time.Millisecond}, {Every: time.Hour, Grace: -1}, {Grace: time.Hour}, {Override: true},
		} {
			_, err := checkpoint.Open[sum](r.Context(), in(r.Store), name, &checkpoint.Options{Expect: e})
			assert.ErrorContains(r, err, "Expect", "%+v", e)
		}
		assert.Empty(r, r.Calls(""))
	})
}

func TestADeleteDeletesWhatIsExpected(t *testing.T) {
	over(t, func(r *rig) {
		r.declares(checkpoint.Expectation{Every: time.Hour})
		_, err := in(r.Store).Delete(r.Context(), name, &checkpoint.EditOptions{DryRun: true})
		require.NoError(r, err)
		assert.NotNil(r, r.expected())
		_, err = in(r.Store).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Nil(r, r.expected())
		assert.Empty(r, r.listed())
	})
}

func TestADeleteInterruptedBeforeWhatIsExpectedWentIsFinishedWithIt(t *testing.T) {
	over(t, func(r *rig) {
		r.declares(checkpoint.Expectation{Every: time.Hour})
		r.On("Expect", 0, faultstore.Throttle)
		_, err := in(r.Store).Delete(r.seconds(2), name, nil)
		require.Error(r, err)
		assert.Equal(r, []string{name}, r.listed(), "it is not finished, and says so")
		r.Clear()
		_, err = in(r.Store).GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Nil(r, r.expected())
		assert.Empty(r, r.listed())
	})
}

func TestWhatIsExpectedOfTheNextLifeStays(t *testing.T) {
	over(t, func(r *rig) {
		r.declares(checkpoint.Expectation{Every: time.Hour})
		_, err := in(r.Store).Delete(r.Context(), name, nil)
		require.NoError(r, err)
		next := &store.Expectation{Every: time.Minute, SetBy: "maria@laptop", SetAt: time.Now().UTC()}
		require.NoError(r, r.inner.Expect(r.Context(), key, nil, next))
		_, err = in(r.Store).GC(r.Context(), name, nil)
		require.NoError(r, err)
		_, err = in(r.Store).GC(r.Context(), name, nil)
		require.NoError(r, err)
		assert.NotNil(r, r.expected())
	})
}

func TestReadersSeeHowFarTheMirrorIs(t *testing.T) {
	a, err := dirarchive.Open(t.TempDir())
	require.NoError(t, err)
	over(t, func(r *rig) {
		r.saves(a, 2, nil)
		r.saves(a, 2, nil)
		cp := r.get()
		assert.GreaterOrEqual(r, cp.ArchivedThrough, int64(2), "what the session before has mirrored")
		assert.Equal(r, r.head().ArchivedThrough, cp.ArchivedThrough)
		text, err := json.Marshal(cp)
		require.NoError(r, err)
		assert.Contains(r, string(text), fmt.Sprintf(`"archived_through":%d`, cp.ArchivedThrough))
		var back checkpoint.Checkpoint
		require.NoError(r, json.Unmarshal(text, &back))
		assert.Equal(r, cp.ArchivedThrough, back.ArchivedThrough)
		for l, err := range in(r.inner).List(r.Context(), "") {
			require.NoError(r, err)
			assert.Equal(r, cp.ArchivedThrough, l.Checkpoint.ArchivedThrough)
		}
		assert.NotContains(r, string(r.exported(nil, nil)), "archived_through", "another store has another mirror")
	})
}
