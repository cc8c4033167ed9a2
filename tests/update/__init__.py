"""What the tests of updates share: releases of the template, and work in projects."""
