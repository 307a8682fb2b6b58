// Package redisstore keeps challenges, limits and counters in Redis or Valkey.
package redisstore
