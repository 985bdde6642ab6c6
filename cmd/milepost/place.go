package main

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// place is where this process runs, as far as it matters to a file that is to outlive it.
type place struct {
	goos      string
	getenv    func(string) string
	exists    func(path string) bool
	mountinfo func() string // Linux: what is mounted where
}

// defaultFile returns the file of the default store: in the user's state directory.
func (p place) defaultFile() (string, error) {
	dir, err := p.stateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "milepost", "milepost.db"), nil
}

func (p place) stateDir() (string, error) {
	home := p.getenv("HOME")
	switch p.goos {
	case "windows":
		if dir := p.getenv("LOCALAPPDATA"); dir != "" {
			return dir, nil
		}
		return "", errors.New("%LOCALAPPDATA% is not set: name a store with --store or MILEPOST_STORE")
	case "darwin", "ios":
		if home != "" {
			return filepath.Join(home, "Library", "Application Support"), nil
		}
	default:
		// The XDG specification has relative paths ignored.
		if dir := p.getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
			return dir, nil
		}
		if home != "" {
			return filepath.Join(home, ".local", "state"), nil
		}
	}
	return "", errors.New("$HOME is not set: name a store with --store or MILEPOST_STORE")
}

// fleeting names the service whose local files vanish with each run, or "".
func (p place) fleeting() string {
	execution := p.getenv("AWS_EXECUTION_ENV")
	switch {
	case p.getenv("AWS_LAMBDA_FUNCTION_NAME") != "" || strings.HasPrefix(execution, "AWS_Lambda"):
		return "AWS Lambda"
	case cmp.Or(p.getenv("GLUE_VERSION"), p.getenv("GLUE_PYTHON_VERSION"), p.getenv("GLUE_COMMAND_CRITERIA")) != "":
		return "AWS Glue"
	case cmp.Or(p.getenv("ECS_CONTAINER_METADATA_URI_V4"), p.getenv("ECS_CONTAINER_METADATA_URI")) != "" ||
		strings.HasPrefix(execution, "AWS_ECS"):
		return "Amazon ECS"
	}
	return ""
}

// container reports whether this is a container in which path lies on no volume.
func (p place) container(path string) bool {
	if p.goos != "linux" {
		return false
	}
	inside := p.getenv("KUBERNETES_SERVICE_HOST") != "" || p.exists("/.dockerenv") || p.exists("/run/.containerenv")
	return inside && p.mountOf(path) == "/"
}

// mountOf returns the mount point that path lies on: the longest that it begins with.
func (p place) mountOf(path string) string {
	best := "/"
	for line := range strings.Lines(p.mountinfo()) {
		fields := strings.Fields(line) // ID, parent, major:minor, root, mount point, …
		if len(fields) < 5 {
			continue
		}
		mount := unescapeMount.Replace(fields[4])
		if len(mount) > len(best) && (path == mount || strings.HasPrefix(path, mount+"/")) {
			best = mount
		}
	}
	return best
}

var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readMountinfo() string {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return string(content)
}
