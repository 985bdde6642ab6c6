package sqlitestore

import (
	"os"
	"strings"
)

// Address implements [store.Store]: the machine and the file's real path. A copy of the file has
// another address, and so has this file once it is moved.
func (s *Store) Address() string { return "sqlite:" + machine() + ":" + s.real }

// machine returns an id that this machine keeps and no other machine has. Where the system has
// none, as in many containers, it is the host's name.
func machine() string {
	if id, err := os.ReadFile("/etc/machine-id"); err == nil {
		if id := strings.TrimSpace(string(id)); id != "" {
			return id
		}
	}
	name, _ := os.Hostname()
	return name
}
