package budget

import (
	"math"
	"path"
	"strconv"
	"strings"
)

// Machine is what the limits of a process's memory are read from. Tests make
// their own; a program gives os.ReadFile and debug.SetMemoryLimit(-1).
type Machine struct {
	// ReadFile reads a file of /proc and /sys.
	ReadFile func(name string) ([]byte, error)
	// GoLimit is the runtime's memory limit (GOMEMLIMIT), math.MaxInt64 when there
	// is none.
	GoLimit int64
}

// Memory is how many bytes the process may use: the least of the machine's
// memory, the limits of its control groups (version 1 and 2) and of the groups
// above them, and GOMEMLIMIT; 0 when none of them is known.
func (m Machine) Memory() int64 {
	least := int64(math.MaxInt64)
	take := func(n int64) {
		if n > 0 {
			least = min(least, n)
		}
	}
	take(m.total())
	take(m.GoLimit)
	groups, err := m.ReadFile("/proc/self/cgroup")
	if err == nil {
		for line := range strings.Lines(string(groups)) {
			// id:controllers:path; version 2 has no controllers.
			f := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(f) != 3 {
				continue
			}
			if f[1] == "" {
				take(m.group("/sys/fs/cgroup", f[2], "memory.max"))
				take(m.group("/sys/fs/cgroup/unified", f[2], "memory.max"))
			}
			for c := range strings.SplitSeq(f[1], ",") {
				if c == "memory" {
					take(m.group("/sys/fs/cgroup/memory", f[2], "memory.limit_in_bytes"))
				}
			}
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// total is MemTotal of /proc/meminfo, 0 when not known.
func (m Machine) total() int64 {
	data, err := m.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == "MemTotal:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil || kb > math.MaxInt64>>10 {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}

// group is the least limit of a group and those above it, 0 when there is none.
// Inside a container the path may be that of the host: then only the root, which
// is the container's own group there, is found.
func (m Machine) group(root, at, file string) int64 {
	least := int64(0)
	for p := path.Clean("/" + at); ; p = path.Dir(p) {
		data, err := m.ReadFile(path.Join(root, p, file))
		if err == nil {
			// "max" is no number, and version 1 has a huge one for it.
			n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
			if err == nil && n > 0 && (least == 0 || n < least) {
				least = n
			}
		}
		if p == "/" {
			return least
		}
	}
}

const (
	// unknownMemory is taken for a machine that does not tell its memory.
	unknownMemory = 1 << 30
	// leastLimit is the smallest limit that Default gives: a frame of the longest
	// kind, twice.
	leastLimit = 32 << 20
	// mostShare is the largest share that Default gives; the limits of a
	// connection, 64 MiB of input and as much output, are reached before.
	mostShare = 160 << 20
)

// Default makes the limit and the share of a server from the memory that the heap
// of its process may have: a quarter of it for all peers and a quarter of that, but a
// frame of the longest kind twice, for one. With what closed peers have not given
// back yet (see Crowded) that is up to three eighths, and with the garbage that the
// collector lets come up on it half: the rest is for what is not peers', so that a
// raid does not bring the heap to the collector's limit, where it would run all the
// time.
func Default(memory int64) (limit, share int64) {
	if memory <= 0 {
		memory = unknownMemory
	}
	limit = max(memory/4, leastLimit)
	return limit, min(max(limit/4, leastLimit), mostShare)
}

// For makes a budget of settings, of which 0 stands for the default.
func For(limit, share, memory int64) *Budget {
	defLimit, defShare := Default(memory)
	if limit > 0 {
		defLimit = limit
		defShare = min(max(limit/4, leastLimit), mostShare)
	}
	if share > 0 {
		defShare = share
	}
	return New(defLimit, defShare)
}
