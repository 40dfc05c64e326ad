package vfs

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
)

// The memory of a container counts, not that of its machine.
func TestPhysicalMemory_OfAContainer(t *testing.T) {
	require.Positive(t, PhysicalMemory(), "this machine")
	files := map[string]string{
		"/proc/meminfo":     "MemTotal:       65536000 kB\n",
		"/proc/self/cgroup": "0::/pod\n",
	}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	require.EqualValues(t, 65536000<<10, physicalMemory(read), "no limit")
	files["/sys/fs/cgroup/pod/memory.max"] = "536870912\n"
	require.EqualValues(t, 512<<20, physicalMemory(read), "version 2")
	delete(files, "/sys/fs/cgroup/pod/memory.max")
	files["/proc/self/cgroup"] = "4:memory:/docker/x\n"
	files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "1073741824\n"
	require.EqualValues(t, 1<<30, physicalMemory(read), "version 1, the root is the container's")
	files = nil
	require.Positive(t, physicalMemory(read), "without /proc and /sys")
}
