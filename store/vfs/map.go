package vfs

// Mapper is a File that can be looked at without being read. Not every file
// system has it: ask by a type assertion.
type Mapper interface {
	// Map maps the first size bytes of the file for reading.
	Map(size int64) (Mapping, error)
}

// Mapping is the content of a file as memory. It outlives the File it came from.
// Looking at bytes that are not in the machine's memory blocks the processor, not
// just the goroutine, and ends the program when the disk fails: ask Resident
// first.
type Mapping interface {
	// Bytes is the content. It must not be written.
	Bytes() []byte
	// Resident says whether [from, to) is in the machine's memory now. It looks
	// at MaxResident bytes at most; a longer range is not.
	Resident(from, to int64) bool
	// Close unmaps it. Nobody may look at Bytes any more.
	Close() error
}

// MaxResident is the longest range that Mapping.Resident looks at.
const MaxResident = 2 << 20
