//go:build !race

package cluster

// raceEnabled makes the servers under test run with the race detector too.
const raceEnabled = false
