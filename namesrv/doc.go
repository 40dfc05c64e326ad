// Package namesrv is the name server: brokers register their topics with it, and
// clients ask it for routes. Config is its configuration file, Server the running
// thing, routes.go lists every request code with its handler. What it knows lives
// in namesrv/route and namesrv/kv.
//
// Goroutines: those of remoting, one of route.Table, and one that sends notices to
// brokers. Locks: settings.updating, held while the configuration file is written;
// no request but UPDATE_NAMESRV_CONFIG takes it.
//
// What it does not do: it holds no controller (enableControllerInNamesrv), does
// not forward to another environment (clusterTest), and has no authentication, as
// Java has none here.
package namesrv
