package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// released is the version of a release. The build of a release sets it by the linker's flag -X
// main.released=v1.2.3. Other builds leave it empty.
var released string

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this command",
		Example: "  milepost version -o json",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			if err := a.begin(); err != nil {
				return err
			}
			v := buildVersion()
			if a.output == "json" {
				return a.printJSON(v)
			}
			_, err := fmt.Fprintln(a.stdout, v)
			return err
		},
	}
}

type versionJSON struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the commit
	Time     string `json:"time,omitempty"`     // of the commit
	Modified bool   `json:"modified,omitempty"` // built from changed files
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (v versionJSON) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "milepost %s, %s, %s", v.Version, v.Go, v.Platform)
	if v.Revision != "" {
		fmt.Fprintf(&b, ", commit %.12s of %s", v.Revision, v.Time)
	}
	if v.Modified {
		b.WriteString(" with changes")
	}
	return b.String()
}

func buildVersion() versionJSON {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return versionOf(released, info)
}

// versionOf returns the version of a release, of a module that was installed by its version, or of
// a checkout. The Go toolchain names a checkout after the newest tag and the commit.
func versionOf(released string, info *debug.BuildInfo) versionJSON {
	v := versionJSON{Version: cmp.Or(released, info.Main.Version, "(unknown)"), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
