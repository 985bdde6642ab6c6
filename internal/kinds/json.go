package kinds

import (
	"errors"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/survey"
	"github.com/milepost-dev/milepost/lease"
)

// ErrorJSON is an error as JSON: the command writes it to standard error with -o json, the agent
// answers with it, and so does the status page under /api/.
type ErrorJSON struct {
	Kind  string `json:"kind"`
	Exit  int    `json:"exit"`
	Error string `json:"error"` // the message

	Line      int64   `json:"line,omitempty"`      // from the agent: the line whose id cannot be read
	Protocols []int64 `json:"protocols,omitempty"` // from the agent: the protocols that it speaks

	Namespace string             `json:"namespace,omitempty"`
	Name      string             `json:"name,omitempty"`
	Holder    *survey.HolderJSON `json:"holder,omitempty"`
	Epoch     int64              `json:"epoch,omitempty"`
	Since     *time.Time         `json:"since,omitempty"`
	Until     *time.Time         `json:"until,omitempty"`
	RenewedAt *time.Time         `json:"renewed_at,omitempty"`
	Renewed   bool               `json:"renewed,omitempty"`
	Reason    string             `json:"reason,omitempty"`
	What      string             `json:"what,omitempty"`
	Have      string             `json:"have,omitempty"`
	Want      string             `json:"want,omitempty"`
	Hint      string             `json:"hint,omitempty"`
	Version   *int64             `json:"version,omitempty"`
	CommitID  string             `json:"commit_id,omitempty"`
}

// ToErrorJSON returns err as JSON, with every field that err knows.
func ToErrorJSON(err error) ErrorJSON {
	k := Of(err)
	e := ErrorJSON{Kind: k.Name, Exit: k.Exit, Error: err.Error()}
	if unknown, ok := errors.AsType[*checkpoint.OutcomeUnknownError](err); ok {
		e.Namespace, e.Name = unknown.Key.Namespace, unknown.Key.Name
		e.Version, e.CommitID = &unknown.Version, unknown.CommitID
	}
	if conflict, ok := errors.AsType[*checkpoint.VersionConflictError](err); ok {
		e.Namespace, e.Name, e.Version = conflict.Key.Namespace, conflict.Key.Name, &conflict.Have
	}
	if refused, ok := errors.AsType[*checkpoint.RefusedError](err); ok {
		e.Namespace, e.Name = refused.Key.Namespace, refused.Key.Name
		e.What, e.Have, e.Want, e.Hint = refused.What, refused.Have, refused.Want, refused.Hint
	}
	if lost, ok := errors.AsType[*lease.LostError](err); ok {
		e.Namespace, e.Name, e.Reason = lost.Key.Namespace, lost.Key.Name, string(lost.Reason)
		e.Holder, e.Epoch = survey.ToHolderJSON(lost.By), lost.ByEpoch
	} else if held, ok := errors.AsType[*lease.HeldError](err); ok {
		e.Namespace, e.Name = held.Key.Namespace, held.Key.Name
		e.Holder, e.Epoch, e.Renewed = survey.ToHolderJSON(held.Holder), held.Epoch, held.Renewed
		e.Since, e.Until, e.RenewedAt = survey.TimeJSON(held.Since), survey.TimeJSON(held.Until), survey.TimeJSON(held.RenewedAt)
	}
	return e
}
