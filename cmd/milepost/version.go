package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

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
			_, err := fmt.Fprintf(a.stdout, "milepost %s, %s, %s\n", v.Version, v.Go, v.Platform)
			return err
		},
	}
}

type versionJSON struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// buildVersion is what the Go toolchain stamped into the binary.
func buildVersion() versionJSON {
	v := versionJSON{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	return v
}
