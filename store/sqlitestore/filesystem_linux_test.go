package sqlitestore

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestALocalDirectoryIsOnNoNetwork(t *testing.T) {
	_, network := filesystem(t.TempDir())
	assert.False(t, network)
	name, network := filesystem("/proc/nowhere")
	assert.False(t, network)
	assert.Empty(t, name)
}

func TestTheTypeOfAMountIsReadFromMountinfo(t *testing.T) {
	const line = `36 35 0:29 / /mnt/a\040b rw,noatime shared:1 master:2 - fuse.sshfs host:/data rw,user_id=0`
	for _, test := range []struct{ line, device, want string }{
		{line, "0:29", "fuse.sshfs"},
		{line, "0:2", ""},
		{"36 35 0:30 / /mnt rw - virtiofs shared rw", "0:30", "virtiofs"},
		{"36 35", "0:29", ""},
		{"", "0:29", ""},
	} {
		assert.Equal(t, test.want, mountType(test.line, test.device), test.line)
	}
}
