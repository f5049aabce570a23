"""What a release needs beside its code: known vulnerabilities, and scripts that push and sign."""
