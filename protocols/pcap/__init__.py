"""Capture files, pcap and pcapng: UDP payloads, TCP streams, and writers."""
