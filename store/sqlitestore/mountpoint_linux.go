package sqlitestore

import (
	"bufio"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// isMountPoint reports whether something is mounted exactly at path, which has no symbolic links.
func isMountPoint(path string) bool {
	var at unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_SYNC_AS_STAT, unix.STATX_TYPE, &at)
	if err == nil && at.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return at.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	}
	mounts, err := os.Open("/proc/self/mountinfo") // before Linux 5.8
	if err != nil {
		return false
	}
	defer mounts.Close()
	return hasMount(mounts, path)
}

var escapeMount = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)

// hasMount reports whether a line of mountinfo has path as its mount point (see
// proc_pid_mountinfo(5)).
func hasMount(mountinfo io.Reader, path string) bool {
	want := escapeMount.Replace(path)
	for lines := bufio.NewScanner(mountinfo); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && fields[4] == want {
			return true
		}
	}
	return false
}
