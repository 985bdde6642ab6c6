package sqlitestore

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// filesystem returns the name of dir's filesystem, and whether it is on the network or may be
// shared with another machine. Both are zero if the system does not say.
func filesystem(dir string) (name string, network bool) {
	var at unix.Statfs_t
	if err := unix.Statfs(dir, &at); err != nil {
		return "", false
	}
	kind := uint32(at.Type)
	if kind == unix.FUSE_SUPER_MAGIC {
		name := fuseType(dir)
		return name, slices.Contains(networkFUSE, name)
	}
	name, network = networkTypes[kind]
	return name, network
}

// By f_type (see statfs(2)). Package unix does not have all of them.
var networkTypes = map[uint32]string{
	unix.NFS_SUPER_MAGIC:  "nfs",
	unix.SMB_SUPER_MAGIC:  "smb",
	unix.SMB2_SUPER_MAGIC: "smb2",
	unix.CIFS_SUPER_MAGIC: "cifs",
	unix.V9FS_MAGIC:       "9p",
	unix.AFS_SUPER_MAGIC:  "afs",
	unix.AFS_FS_MAGIC:     "afs",
	unix.CEPH_SUPER_MAGIC: "ceph",
	unix.CODA_SUPER_MAGIC: "coda",
	unix.NCP_SUPER_MAGIC:  "ncp",
	0x0BD00BD0:            "lustre",
	0x47504653:            "gpfs",
	0x786F4256:            "vboxsf",
	0xBACBACBC:            "vmhgfs",
	0x19830326:            "beegfs",
}

// By the type of the mount, because all of FUSE has one f_type.
var networkFUSE = []string{
	"virtiofs", "fuse.sshfs", "fuse.s3fs", "fuse.mount-s3", "fuse.mountpoint-s3", "fuse.goofys", "fuse.gcsfuse", "fuse.blobfuse", "fuse.blobfuse2",
	"fuse.rclone", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.juicefs", "fuse.mfs", "fuse.seaweedfs", "fuse.davfs",
	"fuse.davfs2", "fuse.curlftpfs", "fuse.smbnetfs", "fuse.vmhgfs-fuse", "fuse.grpcfuse", "fuse.osxfs",
}

// fuseType returns the type of dir's mount, such as fuse.sshfs.
func fuseType(dir string) string {
	var at unix.Stat_t
	if err := unix.Stat(dir, &at); err != nil {
		return ""
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer mounts.Close()
	device := fmt.Sprintf("%d:%d", unix.Major(at.Dev), unix.Minor(at.Dev))
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		if name := mountType(lines.Text(), device); name != "" {
			return name
		}
	}
	return ""
}

// mountType returns the type in a line of mountinfo, if the line is of that device (see
// proc_pid_mountinfo(5)). A line: "36 35 0:29 / /mnt rw shared:1 - fuse.sshfs host:/ rw".
func mountType(line, device string) string {
	mount, super, ok := strings.Cut(line, " - ")
	fields := strings.Fields(mount)
	if !ok || len(fields) < 3 || fields[2] != device {
		return ""
	}
	name, _, _ := strings.Cut(super, " ")
	return name
}
