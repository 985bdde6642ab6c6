package places

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/milepost-dev/milepost/internal/boot"
)

// Machine describes the machine that this process runs on, as far as it matters to a file that must
// outlive the process.
type Machine struct {
	goos      string
	getenv    func(string) string
	exists    func(path string) bool
	mountinfo func() string // Linux: what is mounted where
}

// ThisMachine returns the machine of this process, whose environment getenv reads.
func ThisMachine(getenv func(string) string) Machine {
	return Machine{goos: runtime.GOOS, getenv: getenv, exists: fileExists, mountinfo: readMountinfo}
}

// DefaultFile returns the file of the default store: in the user's state directory.
func (m Machine) DefaultFile() (string, error) {
	dir, err := m.stateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "milepost", "milepost.db"), nil
}

func (m Machine) stateDir() (string, error) {
	home := m.getenv("HOME")
	switch m.goos {
	case "windows":
		if dir := m.getenv("LOCALAPPDATA"); dir != "" {
			return dir, nil
		}
		return "", errors.New("%LOCALAPPDATA% is not set: name a store with --store or MILEPOST_STORE")
	case "darwin", "ios":
		if home != "" {
			return filepath.Join(home, "Library", "Application Support"), nil
		}
	default:
		// The XDG specification says that relative paths are ignored.
		if dir := m.getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
			return dir, nil
		}
		if home != "" {
			return filepath.Join(home, ".local", "state"), nil
		}
	}
	return "", errors.New("$HOME is not set: name a store with --store or MILEPOST_STORE")
}

// Fleeting names the service whose local files are gone after each run. It returns "" elsewhere.
func (m Machine) Fleeting() string {
	execution := m.getenv("AWS_EXECUTION_ENV")
	switch {
	case boot.OnLambda(m.getenv):
		return "AWS Lambda"
	case cmp.Or(m.getenv("GLUE_VERSION"), m.getenv("GLUE_PYTHON_VERSION"), m.getenv("GLUE_COMMAND_CRITERIA")) != "":
		return "AWS Glue"
	case cmp.Or(m.getenv("ECS_CONTAINER_METADATA_URI_V4"), m.getenv("ECS_CONTAINER_METADATA_URI")) != "" ||
		strings.HasPrefix(execution, "AWS_ECS"):
		return "Amazon ECS"
	}
	return ""
}

// IsContainerWithoutVolume reports whether this process runs in a container and path is not on a
// volume.
func (m Machine) IsContainerWithoutVolume(path string) bool {
	if m.goos != "linux" {
		return false
	}
	inside := m.getenv("KUBERNETES_SERVICE_HOST") != "" || m.exists("/.dockerenv") || m.exists("/run/.containerenv")
	return inside && m.mountOf(path) == "/"
}

// mountOf returns the mount point that path is on: the longest that path begins with.
func (m Machine) mountOf(path string) string {
	best := "/"
	for line := range strings.Lines(m.mountinfo()) {
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
