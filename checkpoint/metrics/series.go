package metrics

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"

	"github.com/milepost-dev/milepost/store"
)

// Keys of attributes.
const (
	AttrNamespace  = attribute.Key("milepost.namespace")
	AttrCheckpoint = attribute.Key("milepost.checkpoint")
	AttrOutcome    = attribute.Key("milepost.outcome")
	AttrCause      = attribute.Key("milepost.cause")
)

// Other is the checkpoint of all those that have no series of their own.
const Other = "_other"

// Series says which checkpoints have series of their own: the first ones that ask, up to a limit.
// It may be used from any goroutine.
type Series struct {
	detail bool
	most   int

	mu    sync.Mutex
	named map[store.Key]bool
}

// NewSeries returns the series of Options.
func NewSeries(o Options) *Series {
	return &Series{detail: o.Detail, most: o.MaxSeries, named: map[store.Key]bool{}}
}

// Name is what a checkpoint is counted as: its name, [Other], or "" where nothing is counted by
// checkpoint. The limit is one for all namespaces together.
func (s *Series) Name(key store.Key) string {
	if !s.detail || key.Name == "" {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.named[key]:
	case len(s.named) < s.most:
		s.named[key] = true
	default:
		return Other
	}
	return key.Name
}

// attributesOf are those of a series, with more.
func attributesOf(namespace, name string, more ...attribute.KeyValue) attribute.Set {
	all := append(make([]attribute.KeyValue, 0, 2+len(more)), AttrNamespace.String(namespace))
	if name != "" {
		all = append(all, AttrCheckpoint.String(name))
	}
	return attribute.NewSet(append(all, more...)...)
}
