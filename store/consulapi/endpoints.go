package consulapi

import (
	"net/http"

	"github.com/divisi-go/divisi/store/internal/consul/catalog"
)

// Methods.
const (
	get    = http.MethodGet
	put    = http.MethodPut
	remove = http.MethodDelete
)

// endpoints are what is served. A path that ends with a slash is the beginning of paths.
var endpoints = map[string]endpoint{
	"/v1/kv/": {get: getKV, put: putKV, remove: deleteKV},
	"/v1/txn": {put: putTxn},

	"/v1/session/create":   {put: createSession},
	"/v1/session/destroy/": {put: destroySession},
	"/v1/session/renew/":   {put: renewSession},
	"/v1/session/info/":    {get: getSession},
	"/v1/session/node/":    {get: getNodeSessions},
	"/v1/session/list":     {get: getSessions},

	"/v1/status/leader": {get: getLeader},
	"/v1/status/peers":  {get: getPeers},

	"/v1/catalog/datacenters":    {get: getDatacenters},
	"/v1/catalog/nodes":          {get: getNodes},
	"/v1/catalog/node/":          {get: getNode},
	"/v1/catalog/node-services/": {get: getNodeServices},
	"/v1/catalog/services":       {get: getServices},
	"/v1/catalog/service/":       {get: getService},
	"/v1/catalog/register":       {put: putRegistration},
	"/v1/catalog/deregister":     {put: putDeregistration},

	"/v1/health/service/": {get: getHealth},
	"/v1/health/checks/":  {get: getServiceChecks},
	"/v1/health/node/":    {get: getNodeHealth},
	"/v1/health/state/":   {get: getState},

	"/v1/agent/self":                {get: getSelf},
	"/v1/agent/members":             {get: getMembers},
	"/v1/agent/services":            {get: getOwnServices},
	"/v1/agent/service/":            {get: getOwnService},
	"/v1/agent/checks":              {get: getOwnChecks},
	"/v1/agent/service/register":    {put: registerService},
	"/v1/agent/service/deregister/": {put: deregisterService},
	"/v1/agent/check/register":      {put: registerCheck},
	"/v1/agent/check/deregister/":   {put: deregisterCheck},
	"/v1/agent/check/pass/":         {put: renew(catalog.Passing)},
	"/v1/agent/check/warn/":         {put: renew(catalog.Warning)},
	"/v1/agent/check/fail/":         {put: renew(catalog.Critical)},
	"/v1/agent/check/update/":       {put: updateCheck},
}
