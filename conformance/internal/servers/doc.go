// Package servers runs a name server and a broker as child processes over one
// temporary directory, whatever program they are: Java's start scripts and
// Merlin's take the same configuration files, so one piece of code starts,
// restarts and kills both.
//
// It owns the processes, their directory and their ports. One goroutine waits
// for each process. There are no locks: a Cluster belongs to one test. It does
// not know where the programs come from, a Launcher does.
package servers
