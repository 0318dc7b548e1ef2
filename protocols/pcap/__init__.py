"""Capture files, pcap and pcapng: UDP payloads found in place, and small writers."""
