package later

import (
	"context"
	"log/slog"
	"time"
)

// mostRecords is how many records wait for a slow handler.
const mostRecords = 128

// Logger returns a logger that never blocks: the handler of l gets each record later, in order, from
// a goroutine. While that handler blocks, 128 records wait and further ones are dropped; the log
// says how many. A nil l logs nothing. A logger that this function returned is returned as it is,
// so that all who share it share its order.
func Logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	inner := l.Handler()
	if _, is := inner.(handler); is || inner == slog.DiscardHandler {
		return l
	}
	return slog.New(handler{inner, NewQueue(mostRecords, func(n int64) {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "messages were dropped here, because the log did not take them in time", 0)
		r.AddAttrs(slog.Int64("dropped", n))
		write(context.Background(), inner, r)
	})})
}

// Flush waits until the handler of a logger that [Logger] has returned got every record, or until so
// much time has passed.
func Flush(l *slog.Logger, within time.Duration) {
	if h, is := l.Handler().(handler); is {
		h.queue.Wait(within)
	}
}

// handler passes records to another handler, by a queue. No method of the other is called before,
// not even Enabled: it is code of the caller's as well.
type handler struct {
	inner slog.Handler
	queue *Queue
}

func (h handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	h.queue.Do(func() { write(ctx, h.inner, r) })
	return nil
}

func write(ctx context.Context, h slog.Handler, r slog.Record) {
	if h.Enabled(ctx, r.Level) {
		_ = h.Handle(ctx, r) // there is no one to tell
	}
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.inner.WithAttrs(attrs), h.queue}
}

func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.inner.WithGroup(name), h.queue}
}
