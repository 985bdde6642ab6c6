package statuspage

import (
	"encoding/json"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/survey"
)

// withoutState is a version's JSON. What says that its state is not shown is a name that no checkpoint has, so that
// milepost set --from refuses to take it for one.
func withoutState(cp *checkpoint.Checkpoint) (json.RawMessage, error) {
	shown := *cp
	if shown.State, shown.StateSize = nil, max(cp.StateSize, int64(len(cp.State))); shown.StateSize == 0 && cp.State == nil {
		return json.Marshal(shown)
	}
	return survey.With(shown, "state_hidden", true)
}
