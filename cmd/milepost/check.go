package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/store/sqlitestore"
)

// finding is a problem that check reports about a store of any engine.
type finding struct {
	Severity string `json:"severity"`
	Problem  string `json:"problem"`
	Remedy   string `json:"remedy"`
}

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Print where store and archive are, and check their settings",
		Long: `Check reads the store's settings, not its records, and prints what is wrong and how to fix
it. It also tests, with a scratch object that it removes, whether the archive honours
If-None-Match and If-Match: not every server that speaks S3 does. It exits with 1 if
checkpoints are not safe there, or do not work.`,
		Example: `  milepost check
  milepost check --store 'dynamodb://milepost?region=eu-west-1' -o json`,
		Args: exactly(),
		RunE: a.with(mustExist, func(ctx context.Context, s *openStore, _ []string) error {
			findings, err := s.check(ctx)
			if err != nil {
				return err
			}
			archived, err := s.archive.check(ctx)
			if err != nil {
				return err
			}
			return a.printFindings(s, append(findings, archived...))
		}),
	}
}

func (a *app) printFindings(s *openStore, findings []finding) error {
	broken := 0
	for _, f := range findings {
		if f.Severity == string(dynamostore.Broken) {
			broken++
		}
	}
	if a.output == "json" {
		for _, f := range findings {
			if err := a.printJSON(f); err != nil {
				return err
			}
		}
		if err := a.printJSON(map[string]any{"store": s.url.String(), "archive": s.archive.url.String(), "findings": len(findings), "broken": broken}); err != nil {
			return err
		}
	} else {
		var text strings.Builder
		fmt.Fprintf(&text, "store %s\narchive %s\n", s.url, s.archive.url)
		for _, f := range findings {
			fmt.Fprintf(&text, "%s: %s\n         %s\n", f.Severity, f.Problem, f.Remedy)
		}
		if len(findings) == 0 {
			said := "it is in order"
			if s.archive.Archive != nil {
				said = "both are in order: the archive honours If-None-Match and If-Match"
			}
			fmt.Fprintln(&text, said)
		}
		if _, err := io.WriteString(a.stdout, text.String()); err != nil {
			return err
		}
	}
	if broken > 0 {
		return fmt.Errorf("store %s with archive %s is not safe to use: see above", s.url, s.archive.url)
	}
	return nil
}

// check proves that the archive honours conditions. An archive that does not answer is an error.
func (o *openArchive) check(ctx context.Context) ([]finding, error) {
	if o.Archive == nil {
		return nil, nil
	}
	err := o.Check(ctx)
	if err == nil || kinds.Of(err).Name != "error" {
		return nil, err
	}
	return []finding{{string(dynamostore.Broken), err.Error(), "use a service or file system that honours them; states and mirror are not safe here"}}, nil
}

func (s *openStore) check(ctx context.Context) ([]finding, error) {
	var findings []finding
	switch st := s.Store.(type) {
	case *dynamostore.Store:
		found, err := st.Check(ctx)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			findings = append(findings, finding{string(f.Severity), f.Problem, f.Remedy})
		}
	case *sqlitestore.Store:
		found, err := st.Check(ctx)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			severity := dynamostore.Broken
			if f.Risky {
				severity = dynamostore.Risky
			}
			findings = append(findings, finding{string(severity), f.Problem, f.Remedy})
		}
	}
	// The settings may be right, but the caller may not be allowed to read.
	key := store.Key{Namespace: store.DefaultNamespace, Name: "milepost-check"}
	if len(findings) == 0 || findings[0].Severity != string(dynamostore.Broken) {
		if _, err := s.Look(ctx, key); err != nil {
			return nil, fmt.Errorf("read from the store: %w", err)
		}
	}
	return findings, nil
}
