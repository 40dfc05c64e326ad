// Package damage does to a store at rest what disks, operators and copies do to
// files, starts a broker on it and says what became of the messages.
//
// An Image is the directory of a broker that was stopped or killed, with a History
// of everything its clients were told. A Row is one Damage to one Kind of file of an
// image. Bench.Run copies the image, does the damage, starts the broker and reads
// everything; Judge compares with the history: a message may be missing or changed
// only when its own bytes were touched, and whatever is missing needs a line in the
// log that names the file. The same damaged directory can be given to a Java broker.
//
// All choices come from a seed that is printed. The package starts no goroutines and
// has no locks. Test code only; docs/DURABILITY.md has the table.
package damage
