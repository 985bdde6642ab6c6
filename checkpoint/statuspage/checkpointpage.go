package statuspage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/milepost-dev/milepost/internal/human"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
	"github.com/milepost-dev/milepost/store"
)

// How much of its history a checkpoint's page shows.
const (
	chartVersions = 200
	shownVersions = 20
	shownRuns     = 10
)

// checkpointView is the data of a checkpoint's page.
type checkpointView struct {
	frame
	Name  string
	Row   row
	CP    entry // the newest version; its Checkpoint is nil if there is none
	Lease *leaseView

	Charts   []chart
	Entries  []entry
	More     bool // there are more versions than are listed
	Runs     []run
	MoreRuns bool
	Events   []event
	Advice   []advice
	Problem  string // why the history cannot be read
}

// leaseView is the data of a lease on the page.
type leaseView struct {
	*store.Lease
	Status string
	Until  time.Time // zero: not recorded
	Left   time.Duration
}

// advice is what to do next, with a command that does it or shows more.
type advice struct{ Text, Command string }

func (h *handler) checkpointPage(r *request) error {
	item, err := h.lookAt(r.ctx, r.name)
	if err != nil {
		return err
	}
	v := &checkpointView{frame: h.frame(r.name), Name: r.name}
	v.Live = true
	moved, err := h.moved(r.ctx, item)
	if err != nil {
		return err
	}
	v.Row = row{Item: item, Movement: moved}
	if item.Lease != nil {
		v.Lease = &leaseView{Lease: item.Lease, Status: item.LeaseStatus(), Left: item.Left}
		if item.Lease.Status == store.Held {
			if v.Lease.Until = item.Lease.Until.Wall; v.Lease.Until.IsZero() && item.Left > 0 {
				v.Lease.Until = item.Now.Add(item.Left)
			}
		}
	}
	if err := h.fill(r.ctx, v); err != nil {
		return err
	}
	v.Advice = v.advise()
	return h.render(r.w, http.StatusOK, "checkpoint", v)
}

// moved returns when the cursor last changed, read from older versions.
func (h *handler) moved(ctx context.Context, item *survey.Item) (survey.Movement, error) {
	var memory survey.Memory
	all, err := memory.Recall(ctx, h.ns.Store, []survey.Item{*item})
	return all[0], err
}

// fill reads the history once for all parts of the page.
func (h *handler) fill(ctx context.Context, v *checkpointView) error {
	w, err := h.history(ctx, v.Name, 0, chartVersions)
	switch {
	case errors.Is(err, store.ErrNotFound): // never saved, or being deleted
		return nil
	case errors.Is(err, store.ErrBadRecord), errors.Is(err, store.ErrNewerFormat), errors.Is(err, lease.ErrStoreRegressed):
		v.Problem = err.Error()
		return nil
	case err != nil:
		return err
	}
	if len(w.entries) > 0 {
		v.CP = w.entries[0]
		if v.CP.Err != nil {
			v.Problem = v.CP.Err.Error()
		}
	}
	v.Charts = charts(w.good())
	v.Entries, v.More = w.entries, w.next > 0
	if len(v.Entries) > shownVersions {
		v.Entries, v.More = v.Entries[:shownVersions], true
	}
	var live int64
	if v.Row.Held {
		live = v.Row.Lease.Epoch
	}
	if v.Runs = w.runs(live); len(v.Runs) > shownRuns {
		v.Runs, v.MoreRuns = v.Runs[:shownRuns], true
	}
	v.Events = w.events(v.Row.Lease)
	return nil
}

// Saved reports whether there is a version to show.
func (v *checkpointView) Saved() bool { return v.CP.Checkpoint != nil }

// advise returns what is wrong and what to do about it, as docs/operations.md does.
func (v *checkpointView) advise() []advice {
	i := v.Row.Item
	var all []advice
	add := func(text, format string) {
		command := ""
		if format != "" {
			command = v.Command(format, v.Name)
		}
		all = append(all, advice{text, command})
	}
	switch c := i.Condition(); {
	case c == survey.Unreadable:
		add("A record of this checkpoint is damaged, or was written by a newer release. Milepost does not guess its content and does not overwrite it.", "get %s")
	case c == survey.Deleting:
		add("The deletion of this checkpoint was not finished. To finish it:", "gc %s --execute")
	case c == survey.Overdue && !i.Saved() && i.Lease == nil:
		add("This job never ran. Start it; or, if it should no longer run:", "expect %s --none")
	case c == survey.Overdue && i.Held:
		add("The job's process holds the lease but does not save. Check the process on its host. To stop the job from outside, without losing what it saved:",
			`lease break %s --reason "…" --execute`)
	case c == survey.Died, c == survey.Overdue && i.Died():
		add(fmt.Sprintf("The last run died: it did not release its lease. Start the job again: it takes the lease by itself.%s", v.fromHere()), "")
	case c == survey.Overdue:
		add(fmt.Sprintf("The last run ended, and no run began since. Start the job.%s", v.fromHere()), "")
	case c == survey.Failing:
		add(fmt.Sprintf("%s failed since the last good save. Fix the error, and start the job again.%s", runsText(i.Failures()), v.fromHere()), "")
	}
	if v.Saved() && bad(i.Condition()) && i.Head.LastError != "" {
		add("If the job fails at the same record each time, go back to an older version:", "rollback %s --to VERSION")
	}
	return all
}

func (v *checkpointView) fromHere() string {
	if !v.Saved() {
		return ""
	}
	return fmt.Sprintf(" The job continues from version %s.", human.Thousands(v.CP.Version))
}

func runsText(n int64) string {
	if n == 1 {
		return "A run"
	}
	return human.Thousands(n) + " runs"
}
