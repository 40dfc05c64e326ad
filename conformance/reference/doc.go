// Package reference starts real Java RocketMQ servers, so that every
// conformance case is first shown to hold where it must: on the original.
//
// The server jars are resolved by Maven from the checked-in pom.xml and copied
// once per version into the user's cache directory (or MERLIN_JAVA_CACHE).
// Java and Maven must be installed; Need skips a test without them, and fails
// it when MERLIN_CI=1 is set. The package owns the cache directory; it has no
// goroutines and no locks besides the file that keeps two processes from
// filling the cache together. Test code only.
package reference
