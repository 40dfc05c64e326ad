//go:build !race

package main

// raceEnabled says that this build has the race detector.
const raceEnabled = false
