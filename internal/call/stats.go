package call

// Stats is a snapshot of what a pool of replicas or a [Server] has done.
type Stats struct {
	Connections int    // open now
	InFlight    int    // calls and streams now
	Calls       uint64 // begun
	Errors      uint64 // ended neither OK nor with an application's error
	Retries     uint64 // calls sent once more by a pool
	Ejections   uint64 // times that a pool has left a replica out for a while
	Shed        uint64 // calls refused by a server because it had too much to do
	Refused     uint64 // connections turned away: by a server, calls refused by it excluded; by a pool, those to another deployment
	BytesIn     uint64 // read from sockets, above TLS
	BytesOut    uint64 // written to sockets, above TLS
}
