package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/milepost-dev/milepost/checkpoint/metrics"
	"github.com/milepost-dev/milepost/checkpoint/statuspage"
	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/internal/survey"
)

const (
	scrapeEvery = 15 * time.Second // how often at most /metrics reads the store
	minToken    = 16               // bytes
)

// serveFlags are the flags of milepost serve.
type serveFlags struct {
	listen, prefix, tokenFile string
	hosts                     []string
	showState                 bool
	level                     string
	most                      int
	grace                     time.Duration
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a status page: the checkpoints, the worst first, and their histories",
		Long: `Serve shows the checkpoints of a namespace to browsers, and as JSON to programs: what does
not move and since when, who holds the lease, what a checkpoint's last runs did, and what
changed between any two versions. It changes nothing. /healthz says that the process lives,
and /readyz that the store answers; /metrics is for Prometheus, and /api/v1/openapi.json
describes the API.

It listens on loopback. On any other address it requires a token of at least 16 bytes, from
--token-file or MILEPOST_SERVE_TOKEN. Clients send it as Authorization: Bearer TOKEN, or
once in the login form. Serve speaks plain HTTP: put a proxy that speaks TLS in front of it.
On loopback it answers only to the names of this machine; --allow-host adds a name, such as
a proxy's.

States are not shown unless --show-state is set. docs/serve.md has the rest.`,
		Example: `  milepost serve
  milepost serve --listen 127.0.0.1:0 --show-state
  milepost serve --listen :8080 --prefix /milepost --token-file /run/secrets/milepost`,
		Args: exactly(),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "`address` to listen on; port 0 for any free port")
	flags.StringVar(&f.prefix, "prefix", "", "`path` under which a proxy serves the page, such as /milepost")
	flags.BoolVar(&f.showState, "show-state", false, "show states, too, and what changed in them")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` whose first line is the token (default: $MILEPOST_SERVE_TOKEN)")
	flags.StringSliceVar(&f.hosts, "allow-host", nil, "another host `name` that requests on loopback may use")
	flags.StringVar(&f.level, "metrics-level", "summary", "what /metrics has: none, summary (by namespace) or detail (by checkpoint, too)")
	flags.IntVar(&f.most, "max-series", metrics.DefaultMaxSeries, "with detail, how many checkpoints have separate series; the rest share "+metrics.Other)
	flags.DurationVar(&f.grace, "grace", 10*time.Second, "how long running requests may take after SIGTERM or SIGINT")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		token, err := f.token(a)
		if err != nil {
			return err
		}
		return a.with(mustExist, func(ctx context.Context, s *openStore, _ []string) error { return a.serve(ctx, s, f, token) })(cmd, args)
	}
	return cmd
}

// token reads the token, and checks that there is one where there must be.
func (f *serveFlags) token(a *app) (string, error) {
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return "", kinds.Usagef("--listen %q: write HOST:PORT, such as 127.0.0.1:8080, or :8080 for every address", f.listen)
	}
	if f.level != "none" && f.level != "summary" && f.level != "detail" {
		return "", kinds.Usagef("--metrics-level %q: write none, summary or detail", f.level)
	}
	if f.most < 1 {
		return "", kinds.Usagef("--max-series %d: it must be at least 1", f.most)
	}
	if f.grace < 0 {
		return "", kinds.Usagef("--grace %s: it cannot be negative", f.grace)
	}
	token := a.getenv("MILEPOST_SERVE_TOKEN")
	if f.tokenFile != "" {
		content, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return "", kinds.Usagef("--token-file: %w", err)
		}
		token, _, _ = strings.Cut(string(content), "\n")
		if token = strings.TrimSpace(token); token == "" {
			return "", kinds.Usagef("--token-file %s: its first line is empty", f.tokenFile)
		}
	}
	switch {
	case token != "" && len(token) < minToken:
		return "", kinds.Usagef("the token has %d bytes, but needs at least %d: make one with openssl rand -hex 32", len(token), minToken)
	case token == "" && !isLoopback(host):
		return "", kinds.Usagef("--listen %s: other machines can reach this address, so a token is required: make one with openssl rand -hex 32, and give it in\n"+
			"--token-file FILE or MILEPOST_SERVE_TOKEN; or listen on 127.0.0.1, and reach it through a tunnel or a proxy", f.listen)
	}
	return token, nil
}

// isLoopback reports whether a host is this machine alone. It looks up no names: it knows only
// localhost.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (a *app) serve(ctx context.Context, s *openStore, f serveFlags, token string) error {
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return kinds.Usage(fmt.Errorf("listen on %s: %w", f.listen, err))
	}
	defer listener.Close()
	options := &statuspage.Options{
		Title: s.url.Short(), Prefix: f.prefix,
		ShowState: f.showState, Token: token, Logger: a.logger(),
	}
	if host, _, _ := net.SplitHostPort(f.listen); isLoopback(host) {
		options.Hosts = append([]string{"localhost", "127.0.0.1", "::1", host}, f.hosts...)
	}
	if f.level != "none" {
		scraped, err := a.newScrape(s, f)
		if err != nil {
			return err
		}
		defer scraped.close()
		options.Metrics = scraped
	}
	page, err := statuspage.Handler(s.in(a.namespace), options)
	if err != nil {
		return kinds.Usage(err)
	}
	requests, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	server := &http.Server{
		Handler: page, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context { return requests },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	a.say("status page at http://%s%s/", listener.Addr(), strings.TrimSuffix(f.prefix, "/"))
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(requests, f.grace)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		end() // requests that still run are given up
		_ = server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}

// scrape serves /metrics. It publishes what monitor publishes, from a look at the store when it is
// asked.
type scrape struct {
	app       *app
	store     *openStore
	provider  *metric.MeterProvider
	publisher *survey.Publisher
	text      http.Handler

	mu     sync.Mutex
	memory survey.Memory
	at     time.Time
}

func (a *app) newScrape(s *openStore, f serveFlags) (*scrape, error) {
	reader, text, err := newPrometheus()
	if err != nil {
		return nil, err
	}
	m := &scrape{app: a, store: s, text: text, provider: metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(resource.Empty()))}
	m.publisher, err = survey.NewPublisher(m.provider, survey.PublishOptions{
		Options: metrics.Options{Detail: f.level == "detail", MaxSeries: f.most}, Times: true,
	})
	return m, err
}

// ServeHTTP implements [http.Handler].
func (m *scrape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := m.look(r.Context()); err != nil {
		m.app.logger().Error("no metrics", "error", err)
		http.Error(w, "the store cannot be read: "+kinds.Of(err).Name, http.StatusServiceUnavailable)
		return
	}
	m.text.ServeHTTP(w, r)
}

// look looks at the store, unless it did so a moment ago.
func (m *scrape) look(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.at.IsZero() && time.Since(m.at) < scrapeEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	seen, err := m.store.survey(ctx, m.app.namespace, "", &m.memory)
	if err != nil {
		return err
	}
	m.publisher.Publish(ctx, seen)
	m.at = time.Now()
	return nil
}

func (m *scrape) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = m.provider.Shutdown(ctx)
}
