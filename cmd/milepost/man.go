package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/milepost-dev/milepost/internal/kinds"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages into a directory",
		Long: `Man writes a page for man(1) for each command. Packages already have these pages. Their
date is that of SOURCE_DATE_EPOCH, in seconds, if it is set, and otherwise today.`,
		Example: `  milepost man ~/.local/share/man/man1`,
		Args:    exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.begin(); err != nil {
				return err
			}
			date := time.Now()
			if epoch := a.getenv("SOURCE_DATE_EPOCH"); epoch != "" {
				seconds, err := strconv.ParseInt(epoch, 10, 64)
				if err != nil {
					return kinds.Usagef("SOURCE_DATE_EPOCH %q: write seconds since 1970", epoch)
				}
				date = time.Unix(seconds, 0).UTC()
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("write the manual: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			root.Long += "\n\n" + exitStatus()
			asMarkdown(root)
			header := &doc.GenManHeader{Section: "1", Date: &date, Source: "milepost " + buildVersion().Version, Manual: "Milepost"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write the manual into %s: %w", args[0], err)
			}
			return nil
		},
	}
}

// asMarkdown keeps the indented lines of help texts as they are: the manual's generator reads texts
// as Markdown.
func asMarkdown(cmd *cobra.Command) {
	cmd.Long = strings.ReplaceAll(cmd.Long, "\n  ", "\n      ")
	for _, c := range cmd.Commands() {
		asMarkdown(c)
	}
}

// exitStatus returns the section of the manual on exit codes, in Markdown.
func exitStatus() string {
	var b strings.Builder
	b.WriteString("# EXIT STATUS\n")
	for _, k := range kinds.ByExit() {
		fmt.Fprintf(&b, "**%d** %s\n: %s\n\n", k.Exit, k.Name, cmp.Or(k.When, "done"))
	}
	return b.String()
}
