package statuspage

import (
	"encoding/json"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/survey"
)

// withoutState returns a version's JSON without its state. The member state_hidden says so. No
// checkpoint has a member of that name, so milepost set --from refuses the JSON.
func withoutState(cp *checkpoint.Checkpoint) (json.RawMessage, error) {
	shown := *cp
	if shown.State, shown.StateSize = nil, max(cp.StateSize, int64(len(cp.State))); shown.StateSize == 0 && cp.State == nil {
		return json.Marshal(shown)
	}
	return survey.With(shown, "state_hidden", true)
}
