// Package crash kills a broker under load, again and again, and proves from what
// its clients saw that nothing it acknowledged was lost.
//
// History holds what clients saw: sent, acknowledged with queue and offset,
// received. After each restart every queue is read from its first to its last
// offset, twice, and History.Check compares. The checker is tested with made-up
// violations of every kind; it knows no broker.
//
// A Rig is one broker process with its directory and its load. Between a kill and
// the start it can do to the directory what a power failure or an operator may do
// to it (Damage). docs/DURABILITY.md says what is promised for each flush mode.
//
// Locks: History.mu, a leaf. The goroutines of a load end before Rig.Cycle goes
// on.
package crash
