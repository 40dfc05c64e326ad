//go:build !race

package remoting

// raceEnabled says that netpoll names sockets to epoll as it does under the race
// detector.
const raceEnabled = false
